// What is always there (bar, notices, keys), and the page of the address in the middle.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { session } from "./api/client";
import { Bar } from "./parts/frame/bar";
import { KeysDialog } from "./parts/frame/keys-dialog";
import { Notices } from "./parts/frame/notices";
import { SignIn } from "./parts/frame/sign-in";
import { Tray } from "./parts/frame/tray";
import { fail } from "./state/notices";
import type { PageName } from "./state/route";
import { route } from "./state/route";

// A page is loaded when it is first opened: the first one is on the screen before the others have come.
const LOADERS: Record<PageName, () => Promise<ComponentType>> = {
  home: async () => (await import("./pages/home")).Home,
  search: async () => (await import("./pages/search")).Search,
  image: async () => (await import("./pages/search")).Search,
  clusters: async () => (await import("./pages/clusters")).Clusters,
  map: async () => (await import("./pages/map")).MapPage,
  tags: async () => (await import("./pages/tags")).Tags,
  label: async () => (await import("./pages/label")).Label,
  docs: async () => (await import("./pages/docs")).Docs,
  duplicates: async () => (await import("./pages/duplicates")).Duplicates,
  jobs: async () => (await import("./pages/jobs")).Jobs,
};

export function App() {
  // what the API takes is no secret, and is told without a key
  const asked = session.value.needed && session.value.scope === null && route.value.page !== "docs";
  return (
    <>
      <Bar />
      {asked ? <SignIn /> : <CurrentPage page={route.value.page} />}
      <Tray />
      <Notices />
      <KeysDialog />
    </>
  );
}

function CurrentPage({ page }: { page: PageName }) {
  const [shown, show] = useState<{ page: PageName; Page: ComponentType } | null>(null);
  useEffect(() => {
    let wanted = true;
    LOADERS[page]().then((Page) => wanted && show({ page, Page }), fail);
    return () => {
      wanted = false;
    };
  }, [page]);
  return shown ? <shown.Page /> : <main aria-busy="true" />;
}
