// Jobs: what the server does, has done and is to do; one of them with its report; and the form that starts another.
import { useEffect, useState } from "preact/hooks";
import { JobDetail } from "../parts/jobs/job-detail";
import { JobList } from "../parts/jobs/job-list";
import { StartJob } from "../parts/jobs/start-job";
import { chosen, followJobs, jobs, readChosen } from "../state/jobs";
import { mayWrite } from "../state/session";

export function Jobs() {
  const [starting, setStarting] = useState(false);
  useEffect(followJobs, []);
  useEffect(() => void readChosen(chosen.value), [chosen.value]);
  useEffect(() => {
    if (chosen.value !== null) setStarting(false);
  }, [chosen.value]);
  if (jobs.value === null) return <main aria-busy="true" />;
  return (
    <main class="jobs-page">
      <aside class="job-list" aria-label="Jobs">
        {mayWrite() && (
          <button class="pill" aria-pressed={starting} onClick={() => setStarting(!starting)}>
            Start a job
          </button>
        )}
        <JobList jobs={jobs.value} />
      </aside>
      {starting ? (
        <StartJob close={() => setStarting(false)} />
      ) : chosen.value !== null ? (
        <JobDetail />
      ) : (
        <div class="empty">
          <span class="serif">{jobs.value.length > 0 ? "Choose a job" : "No jobs yet"}</span>
          <p>Long work runs beside the server, and goes on when this page is closed.</p>
        </div>
      )}
    </main>
  );
}
