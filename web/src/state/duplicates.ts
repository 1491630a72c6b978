// Groups of near-duplicates: the address holds the group and the kind of copy that is looked through.
import { computed, effect, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { ApiError, call, isAbort, Latest, pathOf } from "../api/client";
import { changed, fail, say } from "./notices";
import type { Undo } from "./notices";
import { address, go, route } from "./route";
import { counted } from "./words";

export type Group = Schemas["DuplicateGroupOut"];
export type Member = Schemas["DuplicateMemberOut"];
export type About = Schemas["DuplicatesOut"];
type Decided = Schemas["DecisionOut"] & { undo: Undo | null };

const PAGE = 100;

/** Null before the first answer; "none" where nobody has looked for duplicates. */
export const about = signal<About | "none" | null>(null);
export const groups = signal<Group[]>([]);
/** Groups there are in all, loaded or not. */
export const total = signal(0);
export const kind = computed(() => route.value.query.get("kind"));
export const current = computed(() => {
  const wanted = route.value.rest[0];
  return groups.value.find((group) => group.id === wanted) ?? groups.value[0] ?? null;
});
/** The image of the current group that the person would keep; null: the first. */
export const keeping = signal<string | null>(null);
/** Images of the current group that stay or go against the rule. */
export const turned = signal<ReadonlySet<string>>(new Set());

const latest = new Latest();
const renewed = signal(0);

/** Keep the signals above to the address while the page is shown; returns what ends that. */
export function followDuplicates(): () => void {
  const name = computed(() => route.value.category);
  const group = computed(() => current.value?.id);
  const ends = [
    effect(() => {
      const [category, of] = [name.value, kind.value];
      renewed.value;
      if (category !== null) void read(category, of);
    }),
    effect(() => {
      group.value;
      keeping.value = null;
      turned.value = new Set();
    }),
  ];
  return () => {
    ends.forEach((end) => end());
    latest.stop();
    about.value = null;
    groups.value = [];
  };
}

/** Read what there is again, since something was decided or taken back. */
export function renew(): void {
  renewed.value += 1;
}

async function read(category: string, of: string | null): Promise<void> {
  try {
    await latest.run(async (signal) => {
      const [found, page, wanted] = await Promise.all([
        call<About>("GET", pathOf(category, "duplicates"), { signal }),
        call<Schemas["DuplicateGroupsOut"]>("GET", pathWith(category, of, 0), { signal }),
        wantedGroup(category, signal),
      ]);
      about.value = found;
      total.value = page.total;
      groups.value = wanted === null || page.groups.some((group) => group.id === wanted.id) ? page.groups : [wanted, ...page.groups];
    });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) about.value = "none";
    else if (!isAbort(error)) fail(error);
  }
}

/** The group of the address, which may be far down the list; null where there is none, or it is gone. */
async function wantedGroup(category: string, signal: AbortSignal): Promise<Group | null> {
  const id = route.peek().rest[0];
  if (id === undefined) return null;
  try {
    return await call<Group>("GET", pathOf(category, "duplicates", "groups", id), { signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Read the next page of the list, where there is one. */
export async function readMore(category: string): Promise<void> {
  if (groups.value.length >= total.value) return;
  try {
    const page = await call<Schemas["DuplicateGroupsOut"]>("GET", pathWith(category, kind.value, groups.value.length));
    const known = new Set(groups.value.map((group) => group.id));
    groups.value = [...groups.value, ...page.groups.filter((group) => !known.has(group.id))];
  } catch (error) {
    fail(error);
  }
}

function pathWith(category: string, of: string | null, offset: number): string {
  const query = new URLSearchParams({ limit: String(PAGE), offset: String(offset) });
  if (of !== null) query.set("kind", of);
  return `${pathOf(category, "duplicates", "groups")}?${query}`;
}

/** Show a group, as the first one that is shown or in place of the one before. */
export function open(id: string | null): void {
  go(address("duplicates", route.value.category, id === null ? [] : [id], route.value.query.toString()), true);
}

/** Go on by so many groups. */
export function step(by: number): void {
  const at = groups.value.findIndex((group) => group.id === current.value?.id);
  const next = groups.value[at + by];
  if (next !== undefined) open(next.id);
}

/** The image of a group to keep: the one that the person chose on this page, or the first. */
export function keptOf(group: Group): Member {
  return group.members.find((member) => member.id === keeping.value) ?? group.members[0]!;
}

/** Whether an image would go: copies do, and the only other image of a group; each can be turned. */
export function goes(group: Group, member: Member): boolean {
  if (member.id === keptOf(group).id || member.payload === null) return false;
  const rule = group.members.length === 2 || isCopy(member) || (member.verdict === "keep" && keeping.value !== null);
  return rule !== turned.value.has(member.id);
}

function isCopy(member: Member): boolean {
  return member.verdict === "identical" || member.verdict === "resized";
}

/** Turn whether an image goes. */
export function turn(id: string): void {
  const next = new Set(turned.value);
  if (!next.delete(id)) next.add(id);
  turned.value = next;
}

/** Keep the image that is marked; those that would go are merged into it. */
export async function keep(category: string, group: Group): Promise<void> {
  const going = group.members.filter((member) => goes(group, member)).map((member) => member.id);
  const chosen = keptOf(group).id;
  const json = going.length > 0 ? { action: "merge", groups: [group.id], keep: chosen, ids: going } : { action: "keep", groups: [group.id], keep: chosen };
  await decide(category, group, json, (done) => (done.deleted > 0 ? `${counted(done.deleted, "copy", "copies")} moved to the bin` : "Kept as it is"));
}

/** Say that the images of a group are no duplicates of each other. */
export async function dismiss(category: string, group: Group): Promise<void> {
  await decide(category, group, { action: "dismiss", groups: [group.id] }, () => "Dismissed: no later search puts them together");
}

async function decide(category: string, group: Group, json: object, told: (done: Decided) => string): Promise<void> {
  const next = after(group);
  groups.value = groups.value.filter((one) => one.id !== group.id); // the next one is there at once
  total.value -= 1;
  open(next);
  try {
    const done = await call<Decided>("POST", pathOf(category, "duplicates", "decisions"), { json });
    changed(told(done), done.undo, () => (open(group.id), renew()));
  } catch (error) {
    groups.value = [group, ...groups.value]; // nothing was decided: the group comes back
    total.value += 1;
    open(group.id);
    fail(error);
  }
}

function after(group: Group): string | null {
  const at = groups.value.findIndex((one) => one.id === group.id);
  return (groups.value[at + 1] ?? groups.value[at - 1])?.id ?? null;
}

/** What accepting all copies of a kind would do. */
export async function overview(category: string, of: string): Promise<Schemas["DecisionOut"]> {
  return call("POST", pathOf(category, "duplicates", "decisions"), { json: { action: "merge", kinds: [of], dry_run: true } });
}

/** Merge all copies of a kind into the images that are kept. */
export async function acceptAll(category: string, of: string): Promise<void> {
  try {
    const done = await call<Decided>("POST", pathOf(category, "duplicates", "decisions"), { json: { action: "merge", kinds: [of] } });
    if (done.undo === null) say("There is nothing left to move.");
    else changed(`${counted(done.deleted, "copy", "copies")} moved to the bin`, done.undo, renew);
    renew();
  } catch (error) {
    fail(error);
  }
}
