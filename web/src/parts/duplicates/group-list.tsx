// The groups at the left: the kinds of copies with their counts, and a line a group.
import { useEffect, useRef } from "preact/hooks";
import type { About, Group } from "../../state/duplicates";
import { current, groups, kind, open, readMore, total } from "../../state/duplicates";
import { address, go } from "../../state/route";
import { mayWrite } from "../../state/session";
import { count, counted } from "../../state/words";

interface Props {
  category: string;
  about: About;
  accept: (kind: string) => void;
}

const KINDS: Record<string, string> = {
  identical: "Saved again",
  resized: "Resized",
  edited: "Edited",
  "look-alike": "Looks alike",
  unseen: "Not looked at",
};
/** What can be accepted without looking at each: nothing is lost where the other one is kept. */
const SAFE = ["identical", "resized"];

export function GroupList({ category, about, accept }: Props) {
  const list = useRef<HTMLUListElement>(null);
  const id = current.value?.id;
  useEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }), [id]);
  const of = kind.value;
  return (
    <aside class="group-list" aria-label="Groups of copies">
      <h2>
        {counted(total.value, "group")} <span class="dim num">among {counted(about.images, "image")}</span>
      </h2>
      <div class="kinds" role="group" aria-label="Kinds of copies">
        <button class="pill" aria-pressed={of === null} onClick={() => go(address("duplicates", category))}>
          All
        </button>
        {Object.entries(about.kinds).map(([one, copies]) => (
          <button key={one} class="pill" aria-pressed={of === one} onClick={() => go(address("duplicates", category, [], `kind=${one}`))}>
            {KINDS[one] ?? one} <b class="num">{count(copies)}</b>
          </button>
        ))}
      </div>
      {mayWrite() && of !== null && SAFE.includes(of) && (about.kinds[of] ?? 0) > 0 && (
        <button class="pill" onClick={() => accept(of)}>
          Accept all {count(about.kinds[of]!)} …
        </button>
      )}
      <ul ref={list} onScroll={(event) => nearEnd(event.currentTarget) && void readMore(category)}>
        {groups.value.map((group) => (
          <li key={group.id}>
            <Line group={group} on={group.id === id} />
          </li>
        ))}
      </ul>
    </aside>
  );
}

function Line({ group, on }: { group: Group; on: boolean }) {
  const kinds = [...new Set(group.members.slice(1).map((member) => KINDS[member.verdict] ?? member.verdict))];
  return (
    <button aria-current={on ? "true" : undefined} onClick={() => open(group.id)}>
      <span class="pair">
        {group.members.slice(0, 2).map((member) => (
          <img key={member.id} src={`${member.urls.thumbnail}?w=160`} alt="" loading="lazy" />
        ))}
      </span>
      <span class="words">
        {kinds.join(", ").toLowerCase()}
        <small class="dim num">{counted(group.members.length, "image")}</small>
      </span>
    </button>
  );
}

function nearEnd(list: HTMLElement): boolean {
  return list.scrollTop + list.clientHeight > list.scrollHeight - 600;
}
