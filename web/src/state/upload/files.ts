// The files of what was chosen or dropped: folders are walked, archives unpacked.
import { filesOfZip } from "./zip";

/** Yield the files of what was chosen or dropped: folders are walked, zip archives unpacked. */
export async function* filesOf(given: Iterable<File>): AsyncGenerator<File> {
  for (const file of given) {
    if (/\.zip$/i.test(file.name)) yield* filesOfZip(file);
    else yield file;
  }
}

/** As `filesOf`, for what was dropped, which may hold folders. Must be called while the drop is handled. */
export function filesOfDrop(data: DataTransfer): AsyncGenerator<File> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return walk(entries);
}

async function* walk(entries: FileSystemEntry[]): AsyncGenerator<File> {
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    if (entry.isFile) {
      const file = await new Promise<File>((found, failed) => (entry as FileSystemFileEntry).file(found, failed));
      yield* filesOf([file]);
    } else yield* walk(await listed(entry as FileSystemDirectoryEntry));
  }
}

async function listed(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const more = await new Promise<FileSystemEntry[]>((read, failed) => reader.readEntries(read, failed));
    if (more.length === 0) return found; // it gives a hundred at a time
    found.push(...more);
  }
}
