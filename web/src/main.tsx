// The page begins here: what follows the address, the keys and the theme is started once, then the app is drawn.
import { render } from "preact";
import { App } from "./app";
import { readSession } from "./state/session";
import { followCategory } from "./state/category";
import { followKeys } from "./state/keys";
import { followHistory } from "./state/route";
import { followTheme } from "./state/theme";

followTheme();
followHistory();
followKeys();
await readSession();
followCategory();
render(<App />, document.getElementById("app")!);
