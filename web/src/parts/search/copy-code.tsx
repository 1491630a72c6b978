// The question as code, to be copied.
import { useState } from "preact/hooks";
import type { Language } from "../../state/code";
import { codeOf } from "../../state/code";
import { say } from "../../state/notices";
import { ask } from "../../state/results";
import { address } from "../../state/route";
import { Dialog } from "../frame/dialog";

const LANGUAGES: Language[] = ["curl", "CLI", "Python"];

export function CopyCode({ category, close }: { category: string; close: () => void }) {
  const [language, setLanguage] = useState<Language>("curl");
  const code = codeOf(language, location.origin, category, ask.value);
  async function copy() {
    await navigator.clipboard.writeText(code);
    say("Copied.");
    close();
  }
  return (
    <Dialog title="The same by code" close={close}>
      <div class="code-tabs" role="tablist">
        {LANGUAGES.map((one) => (
          <button key={one} class="pill" role="tab" aria-selected={one === language} onClick={() => setLanguage(one)}>
            {one}
          </button>
        ))}
      </div>
      <pre class="code" tabIndex={0}>{code}</pre>
      <button class="pill main" onClick={() => void copy()}>
        Copy
      </button>{" "}
      <a class="pill" href={address("docs", null)}>
        All of the API
      </a>
    </Dialog>
  );
}
