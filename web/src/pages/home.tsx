// Home: the categories there are, and the way in for pictures.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { call, pathOf } from "../api/client";
import { AddImages } from "../parts/home/add-images";
import { CategoryCard } from "../parts/home/category-card";
import { Dialog } from "../parts/frame/dialog";
import { UploadProgress } from "../parts/home/upload";
import { fail, say } from "../state/notices";
import { start } from "../state/jobs";
import { mayWrite } from "../state/session";

type Categories = Schemas["CategoriesOut"];

export function Home() {
  const [found, setFound] = useState<Categories | null>(null);
  const [leaving, leave] = useState<string | null>(null);
  async function read() {
    try {
      setFound(await call<Categories>("GET", "/v1/categories"));
    } catch (error) {
      fail(error);
    }
  }
  useEffect(() => void read(), []);
  if (found === null) return <main aria-busy="true" />;
  const names = found.categories.map((one) => one.name);
  return (
    <main class="home">
      <h1 class="serif">{names.length > 0 ? "Collections" : "Nothing here yet"}</h1>
      {names.length === 0 && (
        <p class="dim">
          Drop pictures below, or let Vitrine draw a catalogue to look around in, as <code>vitrine demo</code> does:{" "}
          {mayWrite() && (
            <button class="pill" onClick={() => void start("demo", {}, null).catch(fail)}>
              Draw one
            </button>
          )}
        </p>
      )}
      <UploadProgress />
      <div class="cards">
        {found.categories.map((one) => <CategoryCard key={one.name} one={one} remove={leave} />)}
        {mayWrite() && <AddImages categories={names} done={() => void read()} />}
      </div>
      {leaving !== null && (
        <DeleteCategory
          name={leaving}
          close={() => leave(null)}
          done={() => {
            leave(null);
            void read();
          }}
        />
      )}
    </main>
  );
}

/** The one thing that asks first: a category that is deleted is gone. */
function DeleteCategory({ name, close, done }: { name: string; close: () => void; done: () => void }) {
  const [typed, setTyped] = useState("");
  async function submit(event: Event) {
    event.preventDefault();
    try {
      await call("DELETE", `${pathOf(name)}?confirm=${encodeURIComponent(name)}`);
      say(`Deleted ${name}.`);
      done();
    } catch (error) {
      fail(error);
    }
  }
  return (
    <Dialog title={`Delete ${name}?`} close={close}>
      <p>Its images, tags, taggers, clusters and maps go with it, and cannot be brought back. Type its name to delete it.</p>
      <form class="field" onSubmit={(event) => void submit(event)}>
        <input aria-label="Name of the category" autofocus value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        <button class="pill main" type="submit" disabled={typed !== name}>Delete</button>
      </form>
    </Dialog>
  );
}
