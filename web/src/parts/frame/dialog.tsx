// A dialog over the page. The browser's own: it keeps the focus inside, and Escape closes it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    box.current?.showModal();
  }, []);
  return (
    <dialog
      ref={box}
      aria-label={props.title}
      onClose={props.close}
      onClick={(event) => event.target === box.current && box.current?.close()}
    >
      <h2>{props.title}</h2>
      {props.children}
    </dialog>
  );
}
