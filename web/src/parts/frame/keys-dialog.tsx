// `?` lists the keys of what is shown.
import { signal } from "@preact/signals";
import { keyGroups, useKeys } from "../../state/keys";
import { takeBack } from "../../state/notices";
import { Dialog } from "./dialog";

export const keysShown = signal(false);

export function KeysDialog() {
  useKeys("Everywhere", [
    { keys: "?", does: "Show the keys", run: () => (keysShown.value = true) },
    { keys: "z Ctrl+z", does: "Undo the last change", run: () => void takeBack() },
  ]);
  if (!keysShown.value) return null;
  return (
    <Dialog title="Keys" close={() => (keysShown.value = false)}>
      <div class="keys">
        {keyGroups.value.map((group) => (
          <>
            <h3>{group.title}</h3>
            {group.keys.map((key) => (
              <>
                <span>
                  {key.keys.split(" ").map((name) => (
                    <kbd key={name}>{name}</kbd>
                  ))}
                </span>
                <span>{key.does}</span>
              </>
            ))}
          </>
        ))}
      </div>
    </Dialog>
  );
}
