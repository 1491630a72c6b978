// Labelling one tag: a queue of images, what was said of them, and the tagger that is trained from it.
import { computed, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { call, pathOf, thumbnail } from "../api/client";
import { fail } from "./notices";
import type { Undo } from "./notices";
import type { GridHit } from "./source";

export type Answer = "yes" | "no" | "skip";

interface Subject {
  category: string;
  tag: string;
}

/** One answer, which is taken back as one. Of images that were skipped nothing is said. */
interface Said {
  images: GridHit[];
  accept: string[];
  reject: string[];
  undo: Undo | null;
}

const TRAIN_EVERY = 10;
const AHEAD = 6; // pictures that are loaded before they are shown
const FILL_BELOW = 12;

export const queue = signal<GridHit[]>([]);
export const said = signal<Said[]>([]);
export const labels = signal<{ accepted: number; rejected: number } | null>(null);
/** The last training: average precision before and after, and how long it took. */
export const trained = signal<{ before: number | null; after: number | null; seconds: number } | null>(null);
export const training = signal(false);
export const labelled = computed(() => said.value.reduce((sum, one) => sum + countOf(one), 0));
/** Images of the nine that are not it. */
export const marked = signal<ReadonlySet<string>>(new Set());
/** Nothing is left to ask about. */
export const finished = signal(false);

let now: Subject = { category: "", tag: "" };
let waiting: Promise<unknown> = Promise.resolve();
let filling: Subject | null = null;
let sinceTraining = 0;

/** Begin with a tag; what was said before is forgotten here, not on the server. */
export function begin(category: string, tag: string): void {
  now = { category, tag };
  queue.value = [];
  said.value = [];
  labels.value = null;
  trained.value = null;
  sinceTraining = 0;
  marked.value = new Set();
  finished.value = false;
  void fill();
}

/** Say the same of the first images of the queue. Answers are sent in the order they were given. */
export function answer(answer: Answer, count = 1): void {
  const images = queue.value.slice(0, count);
  const ids = images.map((hit) => hit.id);
  take(images, answer === "yes" ? ids : [], answer === "no" ? ids : []);
}

/** Mark one of the first nine as not it, or no longer. */
export function markOfNine(at: number): void {
  const id = queue.value.slice(0, 9)[at]?.id;
  if (id === undefined) return;
  const next = new Set(marked.value);
  if (!next.delete(id)) next.add(id);
  marked.value = next;
}

/** Of the first nine: those that are marked are not it, the rest are. */
export function answerNine(): void {
  const nine = queue.value.slice(0, 9);
  const ids = nine.map((hit) => hit.id);
  const no = marked.value;
  marked.value = new Set();
  take(nine, ids.filter((id) => !no.has(id)), ids.filter((id) => no.has(id)));
}

function take(images: GridHit[], accept: string[], reject: string[]): void {
  if (images.length === 0) return;
  queue.value = queue.value.slice(images.length);
  const one: Said = { images, accept, reject, undo: null };
  said.value = [...said.value, one];
  const about = now; // it is sent later, and another tag may be labelled by then
  if (countOf(one) > 0) waiting = waiting.then(() => send(one, about)).catch(fail);
  void fill();
}

function countOf(one: Said): number {
  return one.accept.length + one.reject.length;
}

async function send(one: Said, about: Subject): Promise<void> {
  const json = { accept: one.accept, reject: one.reject };
  let all: Schemas["LabelsOut"]["labels"];
  try {
    const done = await call<Schemas["LabelsOut"] & { undo?: Undo | null }>("POST", pathOf(about.category, "taggers", about.tag, "labels"), { json });
    one.undo = done.undo ?? null;
    all = done.labels;
  } catch (error) {
    // nothing is lost: the images come back to be judged again
    if (said.value.includes(one)) {
      said.value = said.value.filter((other) => other !== one);
      queue.value = [...one.images, ...queue.value];
    }
    throw error;
  }
  if (about !== now) return;
  labels.value = all;
  sinceTraining += countOf(one);
  if (sinceTraining >= TRAIN_EVERY && all.accepted >= 2 && all.rejected >= 2) await train();
}

/** Take the last answer back: the image is the first of the queue again. */
export function takeBack(): void {
  const last = said.value.at(-1);
  if (last === undefined) return;
  said.value = said.value.slice(0, -1);
  queue.value = [...last.images, ...queue.value];
  if (countOf(last) === 0) return;
  const about = now;
  waiting = waiting
    .then(async () => {
      if (last.undo === null) return;
      await call("POST", `/v1/undo/${encodeURIComponent(last.undo.token)}`);
      if (about !== now) return;
      sinceTraining = Math.max(0, sinceTraining - countOf(last));
      const all = labels.value;
      if (all !== null) labels.value = { accepted: all.accepted - last.accept.length, rejected: all.rejected - last.reject.length };
    })
    .catch(fail);
}

/** Train the tagger from all that was said, and take a new queue from what it is unsure of. */
export async function train(): Promise<void> {
  if (training.value) return;
  training.value = true;
  const about = now;
  try {
    const before = trained.value?.after ?? (await known(about));
    const started = performance.now();
    const done = await call<Schemas["TrainedOut"]>("POST", pathOf(about.category, "taggers", about.tag, "train"), { json: { limit: 0 } });
    if (about !== now) return;
    trained.value = { before, after: precisionOf(done.tagger.metrics), seconds: (performance.now() - started) / 1000 };
    labels.value = done.labels;
    sinceTraining = 0;
    queue.value = queue.value.slice(0, 2); // the next ones are chosen by the new tagger
    await fill();
  } catch (error) {
    fail(error);
  } finally {
    training.value = false;
  }
}

/** The average precision of the tagger in service; null where there is none yet. */
async function known(about: Subject): Promise<number | null> {
  const { taggers } = await call<Schemas["TaggersOut"]>("GET", pathOf(about.category, "taggers"));
  const one = taggers.find((tagger) => tagger.tag === about.tag);
  return one ? precisionOf(one.metrics) : null;
}

function precisionOf(metrics: Record<string, unknown>): number | null {
  const value = metrics["average_precision"];
  return typeof value === "number" ? value : null;
}

async function fill(): Promise<void> {
  if (filling === now || queue.value.length >= FILL_BELOW) return preload();
  const asked = now;
  filling = asked;
  try {
    const answer = await call<Schemas["UncertainOut"] & { hits: GridHit[] }>("GET", `${pathOf(asked.category, "taggers", asked.tag, "uncertain")}?limit=40`);
    if (asked !== now) return;
    labels.value ??= answer.labels;
    enqueue(answer.hits);
  } catch {
    await anything(asked);
  } finally {
    if (filling === asked) filling = null;
  }
  preload();
}

/** A tag that no image has yet begins with a sample of all. */
async function anything(asked: Subject): Promise<void> {
  const json = { random: true, limit: 100 };
  try {
    const answer = await call<{ hits: GridHit[] }>("POST", pathOf(asked.category, "search"), { json });
    const rejected = (hit: GridHit) => ((hit.payload["rejected_tags"] ?? []) as string[]).includes(asked.tag);
    if (asked === now) enqueue(answer.hits.filter((hit) => !rejected(hit)));
  } catch (error) {
    fail(error);
  }
}

/** Put images at the end of the queue, without those that are in it or were shown already. */
function enqueue(hits: GridHit[]): void {
  const seen = new Set([...queue.value, ...said.value.flatMap((one) => one.images)].map((hit) => hit.id));
  queue.value = [...queue.value, ...hits.filter((hit) => !seen.has(hit.id))];
  finished.value = queue.value.length === 0;
}

function preload(): void {
  for (const hit of queue.value.slice(0, AHEAD)) void decoded(hit.id);
}

const ready = new Map<string, Promise<void>>();

function decoded(id: string): Promise<void> {
  let one = ready.get(id);
  if (one === undefined) {
    const image = new Image();
    image.src = thumbnail(now.category, id, 640);
    one = image.decode().catch(() => undefined);
    ready.set(id, one);
    if (ready.size > 200) ready.delete(ready.keys().next().value!);
  }
  return one;
}
