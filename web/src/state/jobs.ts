// The jobs of the server: a list that follows its events while the page of jobs is shown, and how many run, which the
// bar says on every page.
import { computed, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { call, session } from "../api/client";
import { fail } from "./notices";
import { go, route } from "./route";

export type Job = Schemas["JobOut"];
export type WholeJob = Schemas["WholeJobOut"];
export type Kind = Schemas["KindOut"];
export type Parameter = Schemas["ParameterOut"];

export const jobs = signal<Job[] | null>(null);
export const kinds = signal<Schemas["KindsOut"] | null>(null);
/** What runs or waits for its turn, the latest first: of the list while it is followed, else as it was last asked. */
export const active = signal<Job[]>([]);
/** The job in the address. */
export const chosen = computed(() => (route.value.page === "jobs" ? (route.value.rest[0] ?? null) : null));
export const whole = signal<WholeJob | null>(null);
export const log = signal("");

const LISTED = 200;
const ASKED_EVERY_MS = 10_000;
const LOG_EVERY_MS = 2_000;
const EVENTS = "/v1/jobs/events";

export function isOver(job: Job): boolean {
  return job.state !== "queued" && job.state !== "running";
}

/** Whether a job waits for the time at which it repeats itself. */
export function isAhead(job: Job): boolean {
  return job.state === "queued" && job.due_at !== null && Date.parse(job.due_at) > Date.now();
}

/** How far a job is, in 0..1; null where that is not known. */
export function share(job: Job): number | null {
  if (job.state === "done") return 1;
  const far = job.progress;
  return far && far.total ? Math.min(1, far.done / far.total) : null;
}

/** Follow the list of jobs, and the one that is chosen, while the page of jobs is shown; returns what ends that. */
export function followJobs(): () => void {
  let source: EventSource | null = null;
  let ended = false;
  async function begin() {
    try {
      const found = await call<Schemas["JobsOut"]>("GET", `/v1/jobs?limit=${LISTED}`);
      if (ended) return;
      take(found.jobs);
      source = new EventSource(`${EVENTS}?after=${found.change}`);
      source.addEventListener("job", (event) => changed(JSON.parse((event as MessageEvent<string>).data) as Job));
      source.addEventListener("removed", (event) => {
        const { id } = JSON.parse((event as MessageEvent<string>).data) as { id: string };
        take((jobs.value ?? []).filter((job) => job.id !== id));
      });
    } catch (error) {
      jobs.value = [];
      fail(error);
    }
  }
  void begin();
  // a log grows without a change of its job
  const timer = setInterval(() => {
    if (whole.value?.state === "running" && !document.hidden) void readChosen(whole.value.id);
  }, LOG_EVERY_MS);
  return () => {
    ended = true;
    clearInterval(timer);
    source?.close();
    jobs.value = null;
  };
}

function take(all: Job[]) {
  jobs.value = all;
  active.value = all.filter((job) => !isOver(job) && !isAhead(job));
}

function changed(job: Job) {
  const others = (jobs.value ?? []).filter((one) => one.id !== job.id);
  take([...others, job].sort((a, b) => b.created_at.localeCompare(a.created_at)));
  if (job.id === chosen.value) void readChosen(job.id);
}

let asked = 0;

/** Read the chosen job with its report and its log. */
export async function readChosen(id: string | null): Promise<void> {
  const turn = ++asked;
  if (id === null) {
    whole.value = null;
    return;
  }
  try {
    const [job, said] = await Promise.all([
      call<WholeJob>("GET", pathOfJob(id)),
      call<Schemas["LogOut"]>("GET", `${pathOfJob(id)}/log`),
    ]);
    if (turn !== asked) return;
    whole.value = job;
    log.value = said.log;
  } catch (error) {
    if (turn !== asked) return;
    whole.value = null;
    fail(error);
  }
}

export async function readKinds(): Promise<void> {
  try {
    kinds.value ??= await call<Schemas["KindsOut"]>("GET", "/v1/jobs/kinds");
  } catch (error) {
    fail(error);
  }
}

/** Start a job and show it; `every`: in seconds, null is once. Throws what the API refuses. */
export async function start(kind: string, values: Record<string, unknown>, every: number | null): Promise<void> {
  const job = await call<Job>("POST", "/v1/jobs", { json: { kind, arguments: values, every_seconds: every } });
  go(addressOf(job.id));
}

export async function cancel(job: Job): Promise<void> {
  await call("DELETE", pathOfJob(job.id)).catch(fail);
}

export async function retry(job: Job): Promise<void> {
  await call("POST", `${pathOfJob(job.id)}/retry`).catch(fail);
}

export async function remove(job: Job): Promise<void> {
  await call("DELETE", pathOfJob(job.id)).then(() => go("/jobs"), fail);
}

export function pathOfJob(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}

export function addressOf(id: string): string {
  return `/jobs/${encodeURIComponent(id)}`;
}

/** Ask now and then what runs, for the bar, on pages that do not follow the jobs; returns what ends that. */
export function watchActive(): () => void {
  async function ask() {
    const signedIn = !session.value.needed || session.value.scope !== null;
    if (document.hidden || !signedIn || jobs.value !== null) return;
    try {
      const found = await call<Schemas["JobsOut"]>("GET", "/v1/jobs?state=running&state=queued&limit=50");
      active.value = found.jobs.filter((job) => !isAhead(job));
    } catch {
      active.value = []; // the next request of the page says what is wrong
    }
  }
  void ask();
  const timer = setInterval(() => void ask(), ASKED_EVERY_MS);
  return () => clearInterval(timer);
}
