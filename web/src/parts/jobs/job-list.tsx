// The jobs, the latest first, each with how far it is.
import type { Job } from "../../state/jobs";
import { addressOf, chosen, share } from "../../state/jobs";

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
  return <em class={`state ${job.state}`}>{job.cancelling ? "ending" : job.state}</em>;
}

export function Bar({ job }: { job: Job }) {
  const far = share(job);
  return far === null ? <progress aria-label="Progress" /> : <progress aria-label="Progress" max={1} value={far} />;
}
