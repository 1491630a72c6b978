// Near-duplicates: a group at a time, side by side; what is kept is chosen already, with the reason.
import { useEffect, useState } from "preact/hooks";
import { AcceptAll } from "../parts/duplicates/accept-all";
import { Differences } from "../parts/duplicates/differences";
import { GroupList } from "../parts/duplicates/group-list";
import { Stage } from "../parts/duplicates/stage";
import type { Group } from "../state/duplicates";
import { about, current, dismiss, followDuplicates, goes, groups, keep, keeping, keptOf, step, total, turn } from "../state/duplicates";
import { useKeys } from "../state/keys";
import { address, route } from "../state/route";
import { mayWrite } from "../state/session";
import { counted } from "../state/words";

export function Duplicates() {
  const { category } = route.value;
  const [accepting, accept] = useState<string | null>(null);
  useEffect(followDuplicates, []);
  if (category === null) return null;
  if (about.value === null) return <main aria-busy="true" />;
  if (about.value === "none") {
    return (
      <main class="empty">
        <span class="serif">Nobody has looked for copies yet</span>
        <p>
          Find them first: <code>vitrine duplicates find -c {category}</code>
        </p>
      </main>
    );
  }
  return (
    <main class="duplicates">
      <GroupList category={category} about={about.value} accept={accept} />
      {current.value === null ? (
        <div class="empty">
          <span class="serif">{total.value > 0 ? "Looking for the next" : "No copies are left"}</span>
          <p>{counted(about.value.dismissed, "pair")} dismissed so far</p>
        </div>
      ) : (
        <Compare key={current.value.id} category={category} group={current.value} />
      )}
      {accepting !== null && <AcceptAll category={category} kind={accepting} close={() => accept(null)} />}
    </main>
  );
}

function Compare({ category, group }: { category: string; group: Group }) {
  const kept = keptOf(group);
  const others = group.members.filter((member) => member.id !== kept.id);
  const [shown, show] = useState(others[0]!.id);
  const other = others.find((member) => member.id === shown) ?? others[0]!;
  const at = others.indexOf(other);
  const going = others.filter((member) => goes(group, member));
  const choose = (id: string) => {
    const before = kept.id;
    keeping.value = id;
    show(before);
  };
  useKeys("Duplicates", [
    { keys: "k Enter", does: "Keep the one that is marked, move the others", run: () => void keep(category, group), when: mayWrite },
    { keys: "d", does: "These are no duplicates", run: () => void dismiss(category, group), when: mayWrite },
    { keys: "c", does: "Keep the other one instead", run: () => choose(other.id), when: mayWrite },
    { keys: "x", does: "This one goes, or stays", run: () => turn(other.id), when: mayWrite },
    { keys: "ArrowRight", does: "The next image of the group", run: () => show(others[(at + 1) % others.length]!.id) },
    { keys: "ArrowLeft", does: "The image of the group before", run: () => show(others[(at + others.length - 1) % others.length]!.id) },
    { keys: "ArrowDown j", does: "Next group", run: () => step(1) },
    { keys: "ArrowUp", does: "Group before", run: () => step(-1) },
  ]);
  const place = groups.value.indexOf(group) + 1;
  return (
    <section class="compare" aria-label={`Group ${group.id}`}>
      <header>
        <h1 class="serif">{sentence(group, others.length)}</h1>
        <span class="dim num">{place} of {total.value}</span>
      </header>
      <Stage group={group} kept={kept} other={other} going={going.includes(other)} choose={choose} />
      {others.length > 1 && (
        <ul class="strip" aria-label="Images of the group">
          {others.map((member) => (
            <li key={member.id}>
              <button aria-pressed={member.id === other.id} class={going.includes(member) ? "goes" : ""} aria-label={`${member.verdict}${going.includes(member) ? ", goes" : ", stays"}`} onClick={() => show(member.id)}>
                <img src={`${member.urls.thumbnail}?w=160`} alt="" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <Differences kept={kept} other={other} />
      <footer class="decide">
        {mayWrite() && (
          <>
            <button class="pill main" onClick={() => void keep(category, group)}>
              {going.length === 0 ? "Keep all" : `Keep the marked, move ${counted(going.length, "copy", "copies")} to the bin`} <kbd>K</kbd>
            </button>
            <button class="pill" onClick={() => void dismiss(category, group)}>
              No duplicates <kbd>D</kbd>
            </button>
          </>
        )}
        <button class="pill" onClick={() => step(1)} disabled={place === groups.value.length}>
          Later <kbd>↓</kbd>
        </button>
        <a class="pill" href={address("image", category, [kept.id])}>Open the image</a>
      </footer>
    </section>
  );
}

const WHY: Record<string, string> = {
  colour: "it has colours",
  resolution: "it has the most pixels",
  format: "its format loses nothing",
  bytes: "its file is the largest",
  metadata: "most is known of it",
  age: "it was here first",
  id: "they are equal",
};

/** `Kept since it has the most pixels`, or who chose. */
function sentence(group: Group, others: number): string {
  const of = others === 1 ? "One of two is kept" : `One of ${others + 1} is kept`;
  if (keeping.value !== null) return `${of}: your choice`;
  if (group.chosen) return `${of}: someone chose it`;
  return group.reason === null ? of : `${of}: ${WHY[group.reason] ?? group.reason}`;
}
