// The cluster run that is browsed: the address holds the run and the node, the field that groups (`by`) and the
// value that is lit.
import { computed, effect, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { ApiError, call, isAbort, Latest, pathOf } from "../api/client";
import { category } from "./category";
import { fail } from "./notices";
import { address, categoryOn, go, route } from "./route";

export type Run = Schemas["ClusterRunOut"];
export type Node = Schemas["ClusterNodeOut"];
export type Detail = Schemas["ClusterDetailOut"];

export const runs = signal<Run[] | null>(null);
export const detail = signal<Detail | null>(null);
/** The address names a node that is not in the run. */
export const missing = signal(false);
/** The box that is looked at more closely at the right; null for the node itself. */
export const chosenBox = signal<string | null>(null);

export const runName = computed(() => route.value.rest[0] ?? runs.value?.[0]?.run ?? null);
export const nodeId = computed(() => route.value.rest[1] ?? "root");
export const by = computed(() => route.value.query.get("by") ?? firstField());
export const lit = computed(() => route.value.query.get("lit"));
const latest = new Latest();
const renewed = signal(0);

function firstField(): string | null {
  const fields = groupingFields();
  return fields.includes("class") ? "class" : (fields[0] ?? null);
}

/** Fields that boxes can be grouped by. */
export function groupingFields(): string[] {
  return Object.entries(category.value?.indexes ?? {})
    .filter(([field, kind]) => ["keyword", "bool"].includes(kind) && !/^(clusters\.|filename|duplicate_group)/.test(field))
    .map(([field]) => field);
}

/** Go to a node of the run. */
export function openNode(node: string, run = runName.value): void {
  if (run === null) return;
  go(address("clusters", route.value.category, [run, node], route.value.query.toString()));
}

/** Choose a box; one that is chosen already is opened, unless it is a leaf. */
export function chooseOrOpen(node: Node): void {
  if (node.child_count > 0 && chosenBox.value === node.id) openNode(node.id);
  else chosenBox.value = node.id;
}

/** Read the node again, since images or names were changed. */
export function renewNode(): void {
  renewed.value += 1;
}

/** Keep the signals above to the address while the page is shown; returns what ends that. */
export function followClusters(): () => void {
  const name = computed(() => categoryOn("clusters"));
  const ends = [
    effect(() => void (name.value && readRuns(name.value))),
    effect(() => {
      const [one, run, node, field] = [name.value, runName.value, nodeId.value, by.value];
      renewed.value;
      if (one !== null && run !== null && category.value?.name === one) void readNode(one, run, node, field);
    }),
    effect(() => {
      nodeId.value;
      chosenBox.value = null;
    }),
  ];
  return () => {
    ends.forEach((end) => end());
    latest.stop();
    runs.value = null;
    detail.value = null;
    missing.value = false;
  };
}

async function readRuns(name: string): Promise<void> {
  try {
    runs.value = (await call<Schemas["ClusterRunsOut"]>("GET", pathOf(name, "clusters"))).runs;
  } catch (error) {
    runs.value = [];
    fail(error);
  }
}

async function readNode(name: string, run: string, node: string, field: string | null): Promise<void> {
  const query = field === null ? "" : `?groupings=${encodeURIComponent(field)}&values=12`;
  missing.value = false;
  try {
    detail.value = await latest.run((signal) => call<Detail>("GET", `${pathOf(name, "clusters", run, "nodes", node)}${query}`, { signal }));
  } catch (error) {
    if (isAbort(error)) return;
    if (error instanceof ApiError && error.status === 404) missing.value = true;
    else fail(error);
  }
}

/** `root-14-3` is box 3 of its node. */
export function numberOf(node: string): string {
  return node.replace(/^.*-/, "");
}

/** The name of a node as it is shown; null where none stands out. */
export function titleOfNode(node: Node): string | null {
  const name = node.name.replaceAll("_", " ").trim();
  if (name) return name.charAt(0).toUpperCase() + name.slice(1);
  return node.id === "root" ? "Everything" : null;
}
