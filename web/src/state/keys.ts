// Keys: a part says which keys it takes while it is shown; `?` lists them. Keys never fire in fields.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

/** `keys`: as KeyboardEvent.key says it, with `Shift+`, `Ctrl+` or `Alt+` before it; several are alternatives. */
export interface Key {
  keys: string;
  does: string;
  run: (event: KeyboardEvent) => void;
  /** Ctrl or Cmd, for keys that would otherwise be the browser's. */
  when?: () => boolean;
}

export const keyGroups = signal<{ title: string; keys: Key[] }[]>([]);

/** Take these keys while the component is shown. The group that came last is asked first. */
export function useKeys(title: string, keys: Key[]): void {
  const group = useRef({ title, keys }).current;
  group.keys = keys;
  // Before what is drawn can be seen: who sees it may press a key at once.
  useLayoutEffect(() => {
    keyGroups.value = [...keyGroups.peek(), group];
    return () => {
      keyGroups.value = keyGroups.peek().filter((one) => one !== group);
    };
  }, []);
}

export function followKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || inField(event.target) || hasDialog()) return;
    const pressed = nameOf(event);
    for (const group of [...keyGroups.value].reverse()) {
      for (const key of group.keys) {
        if (key.keys.split(" ").includes(pressed) && (key.when?.() ?? true)) {
          event.preventDefault();
          key.run(event);
          return;
        }
      }
    }
  });
}

/** Whether the focus is on one of these elements, or on none: Enter on any other is that element's own. */
export function focusIsOn(selector: string): boolean {
  const at = document.activeElement;
  return at === null || at === document.body || at.matches(selector);
}

function nameOf(event: KeyboardEvent): string {
  const name = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key));
  return `${event.ctrlKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${name}`;
}

/** Whether a dialog is open, which has the keys to itself. The large picture's own are in the list. */
function hasDialog(): boolean {
  return document.querySelector("dialog:modal:not(.lightbox)") !== null;
}

function inField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
