// Where pictures come in: dropped or chosen, into a category that is there or is made.
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call } from "../../api/client";
import { fail } from "../../state/notices";
import { filesOf, filesOfDrop } from "../../state/upload/files";
import { send } from "../../state/upload/send";
import { Dialog } from "../frame/dialog";

type Encoders = Schemas["EncodersOut"];

interface Props {
  categories: string[];
  done: () => void;
}

export function AddImages({ categories, done }: Props) {
  const [over, setOver] = useState(false);
  const [files, setFiles] = useState<AsyncGenerator<File> | null>(null);
  return (
    <>
      <label
        class={over ? "drop over" : "drop"}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (event.dataTransfer) setFiles(filesOfDrop(event.dataTransfer));
        }}
      >
        <span class="serif">Drop pictures, a folder or a zip here</span>
        <span class="dim">or choose them</span>
        <input
          class="hidden"
          type="file"
          multiple
          accept="image/*,.zip"
          aria-label="Pictures or a zip archive"
          onChange={(event) => {
            const chosen = [...(event.currentTarget.files ?? [])];
            event.currentTarget.value = "";
            if (chosen.length > 0) setFiles(filesOf(chosen));
          }}
        />
      </label>
      {files !== null && (
        <Where
          categories={categories}
          close={() => setFiles(null)}
          into={(name) => {
            setFiles(null);
            void send(name, files, done);
          }}
        />
      )}
    </>
  );
}

/** Ask for the category: one of those there are, or a new one with its encoder. */
function Where({ categories, close, into }: { categories: string[]; close: () => void; into: (name: string) => void }) {
  const [encoders, setEncoders] = useState<string[] | null>(null);
  const [name, setName] = useState(categories[0] ?? "");
  const known = categories.includes(name);
  async function look() {
    if (encoders !== null) return;
    try {
      const all = await call<Encoders>("GET", "/v1/encoders");
      setEncoders([...new Set([all.default, ...Object.keys(all.presets), ...all.categories.map((one) => one.name)])]);
    } catch (error) {
      fail(error);
    }
  }
  async function submit(event: Event) {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const encoder = (form.elements.namedItem("encoder") as HTMLSelectElement | null)?.value;
    try {
      if (!known) await call("POST", "/v1/categories", { json: { name, ...(encoder ? { encoders: [encoder] } : {}) } });
      into(name);
    } catch (error) {
      fail(error);
    }
  }
  if (!known) void look();
  return (
    <Dialog title="Into which category?" close={close}>
      <form class="where" onSubmit={(event) => void submit(event)}>
        <label class="field">
          <input
            name="name"
            list="categories"
            aria-label="Category"
            placeholder="a name: a-z, 0-9, - and _"
            pattern="[a-z0-9][a-z0-9_\-]{0,62}"
            required
            autofocus
            value={name}
            onInput={(event) => setName(event.currentTarget.value.trim())}
          />
          <datalist id="categories">{categories.map((one) => <option key={one}>{one}</option>)}</datalist>
        </label>
        {!known && name !== "" && encoders !== null && (
          <label class="field">
            <span class="dim">Encoder</span>
            <select name="encoder" aria-label="Encoder">
              {encoders.map((one) => <option key={one}>{one}</option>)}
            </select>
          </label>
        )}
        <button class="pill main" type="submit">{known ? "Add to it" : "Make it and add"}</button>
      </form>
    </Dialog>
  );
}
