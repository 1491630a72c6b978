// Before all copies of a kind are accepted: what stays beside what goes, and how many there are.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf } from "../../api/client";
import type { Group } from "../../state/duplicates";
import { acceptAll, overview } from "../../state/duplicates";
import { fail } from "../../state/notices";
import { counted } from "../../state/words";
import { Dialog } from "../frame/dialog";

const SHOWN = 60;

export function AcceptAll({ category, kind, close }: { category: string; kind: string; close: () => void }) {
  const [would, setWould] = useState<Schemas["DecisionOut"] | null>(null);
  const [shown, setShown] = useState<Group[]>([]);
  useEffect(() => {
    const own = new AbortController();
    const path = `${pathOf(category, "duplicates", "groups")}?kind=${kind}&limit=${SHOWN}`;
    Promise.all([overview(category, kind), call<Schemas["DuplicateGroupsOut"]>("GET", path, { signal: own.signal })]).then(
      ([done, page]) => (setWould(done), setShown(page.groups)),
      (error: unknown) => isAbort(error) || fail(error),
    );
    return () => own.abort();
  }, [category, kind]);
  if (would === null) return null;
  return (
    <Dialog title={`Move ${counted(would.deleted, "copy", "copies")} to the bin`} close={close}>
      <p class="dim">
        Of {counted(would.groups.length, "group")}. The first of each stays, and gets the tags, class, caption and columns of the others that it lacks. The bin keeps them for 24 hours.
        {would.richer.length > 0 && ` ${counted(would.richer.length, "image")} with more pixels or colours stay.`}
      </p>
      <ul class="overview">
        {shown.map((group) => (
          <li key={group.id}>
            <img class="on" src={`${group.members[0]!.urls.thumbnail}?w=160`} alt="Stays" loading="lazy" />
            {group.members.slice(1, 4).filter((member) => member.verdict === kind).map((member) => (
              <img key={member.id} src={`${member.urls.thumbnail}?w=160`} alt="Goes" loading="lazy" />
            ))}
          </li>
        ))}
      </ul>
      {would.groups.length > shown.length && <p class="dim">and {counted(would.groups.length - shown.length, "more group")}</p>}
      <div class="row">
        <button class="pill main" disabled={would.deleted === 0} onClick={() => (close(), void acceptAll(category, kind))}>
          Move {counted(would.deleted, "copy", "copies")}
        </button>
        <button class="pill" onClick={close}>Not now</button>
      </div>
    </Dialog>
  );
}
