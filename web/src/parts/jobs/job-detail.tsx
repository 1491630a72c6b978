// One job: how far it is, what was refused and why, its report, its log, and what can be done about it.
import type { WholeJob } from "../../state/jobs";
import { cancel, isOver, log, pathOfJob, remove, retry, whole } from "../../state/jobs";
import { mayWrite } from "../../state/session";
import { bytes, count } from "../../state/words";
import { Bar, State } from "./job-list";

interface Refusal {
  filename: string;
  reason: string;
  message: string;
}

const LISTED = 500;
const PICTURE = /\.(png|webp|jpe?g)$/;

export function JobDetail() {
  const job = whole.value;
  if (job === null) return <section class="job" aria-busy="true" />;
  const report = isRecord(job.report) ? job.report : null;
  const refused = (report?.["refusals"] ?? []) as Refusal[];
  return (
    <section class="job" aria-label="Job">
      <h2>
        <span class="serif">{job.kind.replaceAll("-", " ")}</span> <State job={job} />
      </h2>
      <p class="actions">
        {mayWrite() && !isOver(job) && <button class="pill" disabled={job.cancelling} onClick={() => void cancel(job)}>Cancel</button>}
        {mayWrite() && isOver(job) && <button class="pill" onClick={() => void retry(job)}>{job.state === "done" ? "Run again" : "Retry"}</button>}
        {mayWrite() && isOver(job) && <button class="pill" onClick={() => void remove(job)}>Remove</button>}
        {job.file !== null && (
          <a class="pill" href={`${pathOfJob(job.id)}/file`} download={job.file}>
            Download {job.file} · {bytes(job.file_bytes ?? 0)}
          </a>
        )}
      </p>
      <Progress job={job} />
      {job.error && <p class="error" role="alert">{job.error.message}</p>}
      {job.file !== null && PICTURE.test(job.file) && <img class="plot" src={`${pathOfJob(job.id)}/file`} alt={job.file} />}
      {refused.length > 0 && (
        <>
          <h3>
            Refused <span class="dim num">{count(Number(report?.["refused"] ?? refused.length))}</span>
          </h3>
          <ul class="refused" aria-label="Refused files">
            {refused.slice(0, LISTED).map((one, at) => (
              <li key={at}>
                <b>{one.filename}</b> <em>{one.reason}</em> {one.message}
              </li>
            ))}
          </ul>
        </>
      )}
      <h3>Asked for</h3>
      <Pairs tree={{ ...job.arguments, by: job.who, at: when(job.created_at), attempts: job.attempts }} />
      {report !== null && (
        <>
          <h3>Report</h3>
          <Pairs tree={report} />
          <Notes notes={report["notes"]} />
          <details>
            <summary>All of it</summary>
            <pre class="code">{JSON.stringify(report, null, 2).slice(0, 100_000)}</pre>
          </details>
        </>
      )}
      {log.value && (
        <details open={job.state === "failed"}>
          <summary>Log</summary>
          <pre class="code" tabIndex={0}>{log.value}</pre>
        </details>
      )}
    </section>
  );
}

function Progress({ job }: { job: WholeJob }) {
  const far = job.progress;
  if (far === null) return null;
  const parts = [
    far.stage,
    far.total === null ? count(far.done) : `${count(far.done)} of ${count(far.total)}`,
    ...(far.rate > 0 ? [`${count(Math.round(far.rate))} a second`] : []),
    ...(far.seconds_left !== null && job.state === "running" ? [`${left(far.seconds_left)} left`] : []),
    ...(far.refused > 0 ? [`${count(far.refused)} refused`] : []),
    ...(far.said ? [far.said] : []),
  ];
  return (
    <div class="far">
      <Bar job={job} />
      <p class="num" role="status">{parts.join(" · ")}</p>
    </div>
  );
}

/** What is plain in a tree: numbers, words, short lists. */
function Pairs({ tree }: { tree: Record<string, unknown> }) {
  const plain = Object.entries(tree).filter(([, value]) => value !== null && value !== "" && (typeof value !== "object" || isShort(value)));
  return (
    <dl class="pairs">
      {plain.map(([name, value]) => (
        <div key={name}>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd class="num">{typeof value === "number" ? count(value) : Array.isArray(value) ? value.join(", ") : String(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Notes({ notes }: { notes: unknown }) {
  if (!Array.isArray(notes)) return null;
  return notes.map((one, at) => <p key={at}>{String(one)}</p>);
}

function isShort(value: object): boolean {
  return Array.isArray(value) && value.length > 0 && value.length <= 8 && value.every((one) => typeof one !== "object" && String(one).length < 40);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function left(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function when(iso: string): string {
  return new Date(iso).toLocaleString();
}
