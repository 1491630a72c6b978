// The one box: words, pictures that are dropped, pasted or chosen, and examples for and against.
import { useEffect, useRef, useState } from "preact/hooks";
import { thumbnail } from "../../api/client";
import { category } from "../../state/category";
import { useKeys } from "../../state/keys";
import { followPictures, searchByFiles } from "../../state/pictures";
import { ask, askFor } from "../../state/results";
import { route } from "../../state/route";
import { short } from "../../state/words";
import { Down } from "../frame/bar";
import { CopyCode } from "./copy-code";
import { SavedMenu } from "./saved";

export function AskBox() {
  const input = useRef<HTMLInputElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [code, setCode] = useState(false);
  const now = ask.value;
  const name = route.value.category!;
  useEffect(() => followPictures(setOver), []);
  useKeys("Ask", [{ keys: "/", does: "Ask in words", run: () => input.current?.focus() }]);

  function submit(event: Event) {
    event.preventDefault();
    askFor({ ...now, text: input.current!.value.trim(), sort: null });
  }
  return (
    <form class={over ? "ask over" : "ask"} role="search" onSubmit={submit}>
      {now.like.map((id) => <Example key={id} category={name} id={id} like />)}
      {now.unlike.map((id) => <Example key={id} category={name} id={id} like={false} />)}
      <input
        ref={input}
        class="words"
        key={now.text}
        defaultValue={now.text}
        placeholder={now.like.length ? "Add words, or drop or paste a picture" : "Ask in words, or drop or paste a picture"}
        aria-label="Ask in words"
        enterkeyhint="search"
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.currentTarget.value = "";
          event.currentTarget.blur();
          if (now.text) askFor({ ...now, text: "" });
        }}
      />
      <button type="button" class="pill" aria-label="Picture: choose files" onClick={() => files.current!.click()}>Picture</button>
      <input
        ref={files}
        class="hidden"
        type="file"
        accept="image/*"
        multiple
        tabIndex={-1}
        aria-label="Pictures to search by"
        onChange={(event) => {
          void searchByFiles(event.currentTarget.files ?? []);
          event.currentTarget.value = "";
        }}
      />
      <Using />
      <Variety />
      <SavedMenu category={name} />
      <button type="button" class="pill wide" onClick={() => setCode(true)}>Copy as code</button>
      <kbd class="wide">/</kbd>
      {code && <CopyCode category={name} close={() => setCode(false)} />}
    </form>
  );
}

function Example({ category, id, like }: { category: string; id: string; like: boolean }) {
  const now = ask.value;
  const others = (list: string[]) => list.filter((one) => one !== id);
  const next = { ...now, like: others(now.like), unlike: others(now.unlike) };
  return (
    <span class={like ? "example" : "example against"}>
      <img src={thumbnail(category, id, 160)} alt={like ? "Example" : "Counterexample"} />
      <button type="button" class="sign" title={like ? "Less like it" : "More like it"} aria-label={like ? "Less like it" : "More like it"}
        onClick={() => askFor(like ? { ...next, unlike: [...next.unlike, id] } : { ...next, like: [...next.like, id] })}>
        {like ? "+" : "−"}
      </button>
      <button type="button" class="away" aria-label="Take the example away" onClick={() => askFor(next)}>×</button>
    </span>
  );
}

/** Which encoder compares; for words those that read words. */
function Using() {
  const one = category.value;
  if (one === null) return null;
  const names = [...Object.keys(one.promoted), ...one.encoders.filter((encoder) => !isVersion(one.promoted, encoder.name)).map((encoder) => encoder.name)];
  if (names.length < 2) return null;
  return (
    <label class="pill pick">
      by <b>{ask.value.using ?? one.default}</b>
      <Down />
      <select aria-label="Compare by" value={ask.value.using ?? one.default} onChange={(event) => {
        const using = event.currentTarget.value;
        askFor({ ...ask.value, using: using === one.default ? null : using });
      }}>
        {names.map((name) => <option key={name}>{name}</option>)}
      </select>
    </label>
  );
}

function isVersion(promoted: Record<string, string[]>, name: string): boolean {
  return Object.values(promoted).some((versions) => versions.includes(name));
}

/** How unlike each other the hits should be. */
function Variety() {
  const now = ask.value;
  const [moved, setMoved] = useState<number | null>(null);
  if (!now.text && now.like.length === 0) return null;
  const shown = moved ?? now.variety ?? 0;
  return (
    <label class="pill wide variety">
      Variety <b class="num">{short(shown)}</b>
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        value={shown}
        aria-label="Variety"
        onInput={(event) => setMoved(Number(event.currentTarget.value))}
        onChange={(event) => {
          const value = Number(event.currentTarget.value);
          setMoved(null);
          askFor({ ...ask.value, variety: value === 0 ? null : value });
        }}
      />
    </label>
  );
}
