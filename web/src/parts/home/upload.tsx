// How far an upload is: a bar with its rate, and the files that were refused, by name and reason.
import { cancelUpload, upload } from "../../state/upload/send";
import { count, counted } from "../../state/words";

export function UploadProgress() {
  const now = upload.value;
  if (now === null) return null;
  const seconds = (performance.now() - now.startedAt) / 1000;
  const rate = now.sent / Math.max(0.1, seconds);
  const left = now.running && now.lost === 0 && now.sent > 0 ? (now.found - now.sent) / rate : null;
  return (
    <section class="upload panel" aria-label="Upload">
      <h3>
        {now.running ? `Adding to ${now.category}` : `Added to ${now.category}`}
        <span class="dim num">
          {count(now.sent)} of {count(now.found)}
          {now.running && now.sent > 0 && ` · ${count(Math.round(rate))} a second`}
          {left !== null && left > 1 && ` · ${duration(left)} left`}
        </span>
        {now.running && <button class="pill" onClick={cancelUpload}>Stop</button>}
      </h3>
      <progress max={Math.max(1, now.found)} value={now.sent} aria-label="Sent" />
      <p role="status">
        {counted(now.added, "image")} added
        {now.known > 0 && `, ${count(now.known)} ${now.known === 1 ? "was" : "were"} there already`}
        {now.refused.length > 0 && `, ${count(now.refused.length)} refused`}
        {now.running && now.lost > 0 && ". The connection is lost: trying again"}
      </p>
      {now.refused.length > 0 && (
        <ul class="refused" aria-label="Refused files">
          {now.refused.slice(0, 200).map((one, at) => (
            <li key={at}>
              <b>{one.filename}</b> {one.message}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function duration(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
