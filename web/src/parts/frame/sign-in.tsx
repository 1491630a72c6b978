// Ask for the key once. It goes to the server, which answers with a cookie that scripts cannot read.
import { useState } from "preact/hooks";
import { ApiError } from "../../api/client";
import { signIn } from "../../state/session";

export function SignIn() {
  const [key, setKey] = useState("");
  const [wrong, setWrong] = useState("");
  async function submit(event: Event) {
    event.preventDefault();
    try {
      await signIn(key);
    } catch (error) {
      setWrong(error instanceof ApiError ? error.message : String(error));
    }
  }
  return (
    <main class="empty">
      <span class="serif">This collection asks for a key</span>
      <form class="field" onSubmit={submit}>
        <input
          type="password"
          aria-label="Key"
          autocomplete="current-password"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <button class="pill" type="submit">
          Sign in
        </button>
      </form>
      {wrong && <p role="alert">{wrong}</p>}
    </main>
  );
}
