// What differs between the image that is kept and another one, line by line; the better value is marked.
import type { Member } from "../../state/duplicates";
import { bytes, count, short } from "../../state/words";

interface Line {
  name: string;
  kept: string;
  other: string;
  /** Positive where the kept image has more of it, negative where the other one has; 0: neither is better. */
  better: number;
}

export function Differences({ kept, other }: { kept: Member; other: Member }) {
  if (kept.payload === null || other.payload === null) return null;
  const lines = compared(kept.payload, other.payload);
  return (
    <table class="differences">
      <colgroup>
        <col class="what" />
      </colgroup>
      <thead class="hidden">
        <tr>
          <th scope="col">What</th>
          <th scope="col">Kept</th>
          <th scope="col">Other</th>
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => (
          <tr key={line.name} class={line.kept === line.other ? "same" : ""}>
            <th scope="row">{line.name}</th>
            <td class={line.better > 0 ? "better num" : "num"}>{line.kept}</td>
            <td class={line.better < 0 ? "better num" : "num"}>{line.kept === line.other ? "the same" : line.other}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

type Payload = Record<string, unknown>;

function compared(kept: Payload, other: Payload): Line[] {
  const number = (payload: Payload, name: string) => Number(payload[name] ?? 0);
  const pixels = (payload: Payload) => number(payload, "width") * number(payload, "height");
  const line = (name: string, say: (payload: Payload) => string, worth: (payload: Payload) => number = () => 0): Line => ({
    name,
    kept: say(kept),
    other: say(other),
    better: worth(kept) - worth(other),
  });
  const own = ownTags(kept, other);
  const lines = [
    line("Size", (one) => `${count(number(one, "width"))} × ${count(number(one, "height"))}`, pixels),
    line("Bytes", (one) => bytes(number(one, "bytes")), (one) => number(one, "bytes")),
    line("Format", (one) => String(one["media_type"] ?? "").replace(/^image\//, "")),
    line("File", (one) => String(one["filename"] ?? "").replace(/^.*\//, "")),
    line("Tags", (one) => (one === kept ? own[0] : own[1])),
    line("Class", (one) => String(one["class"] ?? "none")),
    line("Quality", (one) => (typeof one["quality"] === "number" ? short(one["quality"]) : "none"), (one) => number(one, "quality")),
    line("Caption", (one) => String(one["caption"] ?? "none")),
  ];
  return lines.filter((one) => one.kept !== "none" || one.other !== "none");
}

/** The tags that only one of the two has. */
function ownTags(kept: Payload, other: Payload): [string, string] {
  const [mine, theirs] = [kept, other].map((one) => (one["tags"] as string[] | undefined) ?? []) as [string[], string[]];
  const shared = mine.filter((tag) => theirs.includes(tag)).length;
  const said = (tags: string[]) => [...(shared > 0 ? [`${shared} shared`] : []), ...tags].join(", ") || "none";
  return [said(mine.filter((tag) => !theirs.includes(tag))), said(theirs.filter((tag) => !mine.includes(tag)))];
}
