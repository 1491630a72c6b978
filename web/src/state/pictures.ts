// Pictures that are searched by without being in the category: sent once, kept by the server for a day.
import { call, PICTURE } from "../api/client";
import { fail, say } from "./notices";
import { ask, askFor } from "./results";

/** Send pictures and search by them. */
export async function searchByFiles(files: Iterable<File>): Promise<void> {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || file.type === "");
  if (pictures.length === 0) {
    say("That is no picture.", null, true);
    return;
  }
  try {
    const sent = await Promise.all(pictures.slice(0, 8).map(send));
    const now = ask.peek();
    askFor({ ...now, like: [...now.like, ...sent.map((hash) => PICTURE + hash)], sort: null });
  } catch (error) {
    fail(error);
  }
}

async function send(file: File): Promise<string> {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  return (await call<{ picture: string }>("POST", "/v1/pictures", { form })).picture;
}

/** Take pictures that are pasted, or dropped anywhere on the page; returns what ends that. */
export function followPictures(dragged: (over: boolean) => void): () => void {
  const paste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void searchByFiles(files);
  };
  const over = (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    dragged(true);
  };
  const leave = (event: DragEvent) => event.relatedTarget === null && dragged(false);
  const drop = (event: DragEvent) => {
    dragged(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void searchByFiles(files);
  };
  document.addEventListener("paste", paste);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", leave);
  document.addEventListener("drop", drop);
  return () => {
    document.removeEventListener("paste", paste);
    document.removeEventListener("dragover", over);
    document.removeEventListener("dragleave", leave);
    document.removeEventListener("drop", drop);
  };
}
