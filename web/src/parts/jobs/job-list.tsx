// The jobs, the latest first, each with how far it is.
import type { Job } from "../../state/jobs";
import { addressOf, chosen, isAhead, share } from "../../state/jobs";

export function JobList({ jobs }: { jobs: Job[] }) {
  return (
    <ul>
      {jobs.map((job) => (
        <li key={job.id}>
          <a href={addressOf(job.id)} aria-current={job.id === chosen.value ? "true" : undefined}>
            <span>
              {job.kind.replaceAll("-", " ")} <small class="dim">{String(job.arguments["category"] ?? job.arguments["name"] ?? "")}</small>
            </span>
            <State job={job} />
            {job.state === "running" && <Bar job={job} />}
          </a>
        </li>
      ))}
    </ul>
  );
}

export function State({ job }: { job: Job }) {
  if (isAhead(job)) return <em class="state" title={`It repeats itself: due at ${new Date(job.due_at!).toLocaleString()}`}>{`again ${timeOf(job.due_at!)}`}</em>;
  return <em class={`state ${job.state}`}>{job.cancelling ? "ending" : job.state}</em>;
}

export function Bar({ job }: { job: Job }) {
  const far = share(job);
  return far === null ? <progress aria-label="Progress" /> : <progress aria-label="Progress" max={1} value={far} />;
}

/** The time of a day, or the day, in a few letters. */
function timeOf(iso: string): string {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return today ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : at.toLocaleDateString([], { day: "numeric", month: "short" });
}
