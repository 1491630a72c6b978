// Saved searches: a menu of those there are, and a name for the present one.
import { useEffect, useState } from "preact/hooks";
import { address } from "../../state/route";
import { forget, readSaved, save, saved } from "../../state/saved";
import { mayWrite } from "../../state/session";
import { Dialog } from "../frame/dialog";
import { Down } from "../frame/bar";

export function SavedMenu({ category }: { category: string }) {
  const [open, setOpen] = useState(false);
  useEffect(() => void readSaved(category), [category]);
  useEffect(() => {
    if (!open) return;
    const close = () => setOpen(false);
    addEventListener("click", close);
    return () => removeEventListener("click", close);
  }, [open]);
  if (saved.value.length === 0) return null;
  return (
    <span class="chooser">
      <button type="button" class="pill" aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}>
        Saved <Down />
      </button>
      {open && (
        <div class="menu end" role="menu">
          {saved.value.map((one) => (
            <div class="saved" key={one.name}>
              <a role="menuitem" href={address("search", category, [], one.view)}>{one.name}</a>
              {mayWrite() && <button type="button" role="menuitem" aria-label={`Forget ${one.name}`} onClick={() => void forget(category, one)}>×</button>}
            </div>
          ))}
        </div>
      )}
    </span>
  );
}

export function SaveDialog({ category, close }: { category: string; close: () => void }) {
  return (
    <Dialog title="Save this search" close={close}>
      <form
        class="field"
        onSubmit={(event) => {
          event.preventDefault();
          const name = (event.currentTarget.elements.namedItem("name") as HTMLInputElement).value.trim();
          if (!name) return;
          close();
          void save(category, name);
        }}
      >
        <input name="name" aria-label="Name" placeholder="a name" maxLength={100} autofocus />
        <button class="pill main" type="submit">Save</button>
      </form>
    </Dialog>
  );
}
