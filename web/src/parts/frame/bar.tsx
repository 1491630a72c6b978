// The bar: the word, the category, the pages, and what is always at hand.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, session } from "../../api/client";
import type { Schemas } from "../../api/client";
import { category } from "../../state/category";
import { active, share, watchActive } from "../../state/jobs";
import { count } from "../../state/words";
import { fail } from "../../state/notices";
import type { PageName } from "../../state/route";
import { address, PAGES, route } from "../../state/route";
import { signOut } from "../../state/session";
import { isDark, switchTheme } from "../../state/theme";
import { keysShown } from "./keys-dialog";

const TITLES: Record<(typeof PAGES)[number], string> = {
  search: "Search",
  clusters: "Clusters",
  map: "Map",
  tags: "Tags",
  duplicates: "Duplicates",
};
const UNDER: Partial<Record<PageName, PageName>> = { image: "search", label: "tags" };

export function Bar() {
  const { category: name, page } = route.value;
  const pages = useRef<HTMLElement>(null);
  // On a phone the row of pages is longer than the screen, and what stands beside it comes and grows later.
  useEffect(() => {
    const [row, current] = [pages.current, pages.current?.querySelector("[aria-current]")];
    if (!row || !current) return;
    const watch = new ResizeObserver(() => current.scrollIntoView({ block: "nearest", inline: "nearest" }));
    watch.observe(row);
    watch.observe(current);
    return () => watch.disconnect();
  }, [name, page]);
  return (
    <header class="top">
      <a class="word serif" href="/" aria-label="Vitrine: all categories">
        Vitrine
        <i />
      </a>
      {name !== null && <Chooser name={name} />}
      {name !== null && (
        <nav class="nav" aria-label="Pages" ref={pages}>
          {PAGES.map((one) => (
            <a key={one} href={address(one, name)} aria-current={(UNDER[page] ?? page) === one ? "page" : undefined}>
              {TITLES[one]}
            </a>
          ))}
        </nav>
      )}
      <div class="right">
        <JobsLink />
        {session.value.needed && session.value.scope !== null && (
          <button class="pill" onClick={() => void signOut().catch(fail)}>
            {session.value.scope === "read" ? "May read" : "May change"} · Sign out
          </button>
        )}
        <button class="icon wide" aria-label="Keys" title="Keys (?)" onClick={() => (keysShown.value = true)}>
          <kbd>?</kbd>
        </button>
        <button class="icon" aria-label={isDark.value ? "Light theme" : "Dark theme"} onClick={switchTheme}>
          <svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.3">
            <circle cx="8" cy="8" r="6" />
            <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
          </svg>
        </button>
      </div>
    </header>
  );
}

/** The way to the jobs, with how many run or wait, and how far the first of them is. */
function JobsLink() {
  useEffect(watchActive, []);
  if (session.value.needed && session.value.scope === null) return null;
  const running = active.value.find((job) => job.state === "running");
  const far = running ? share(running) : null;
  return (
    <a class="pill jobs-link" href={address("jobs", null)} aria-current={route.value.page === "jobs" ? "page" : undefined}>
      Jobs
      {active.value.length > 0 && <b class="num" title="run or wait">{count(active.value.length)}</b>}
      {far !== null && <progress max={1} value={far} aria-label="The job that runs" />}
    </a>
  );
}

function Chooser({ name }: { name: string }) {
  const [others, setOthers] = useState<Schemas["CategoryOut"][] | null>(null);
  useEffect(() => {
    if (others === null) return;
    const close = () => setOthers(null);
    addEventListener("click", close);
    return () => removeEventListener("click", close);
  }, [others]);
  async function open() {
    try {
      setOthers((await call<Schemas["CategoriesOut"]>("GET", "/v1/categories")).categories);
    } catch (error) {
      fail(error);
    }
  }
  return (
    <div class="chooser">
      <button aria-expanded={others !== null} aria-haspopup="menu" onClick={() => void open()}>
        {name}
        <span class="dim num">{category.value ? count(category.value.images) : ""}</span>
        <Down />
      </button>
      {others && (
        <div class="menu" role="menu">
          {others.map((one) => (
            <a key={one.name} role="menuitem" href={address("search", one.name)} aria-current={one.name === name ? "true" : undefined}>
              {one.name}
              <em class="num">{count(one.images)}</em>
            </a>
          ))}
        </div>
      )}
    </div>
  );
}

export function Down() {
  return (
    <svg width="10" height="10" viewBox="0 0 10 10" fill="none" stroke="currentColor" stroke-width="1.4" aria-hidden="true">
      <path d="M2 3.5 5 6.5 8 3.5" />
    </svg>
  );
}
