// Light or dark: the system's, until a person chooses.
import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark" | "system";
const PLACE = "vitrine-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export const theme = signal<Theme>(stored());
export const isDark = signal(dark.matches);

export function followTheme(): void {
  dark.addEventListener("change", show);
  effect(() => {
    if (theme.value === "system") localStorage.removeItem(PLACE);
    else localStorage.setItem(PLACE, theme.value);
    show();
  });
}

/** Go from the one that is shown to the other; back to the system's choice where that is the same. */
export function switchTheme(): void {
  const next = isDark.value ? "light" : "dark";
  theme.value = (next === "dark") === dark.matches ? "system" : next;
}

function show(): void {
  isDark.value = theme.value === "system" ? dark.matches : theme.value === "dark";
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
}

function stored(): Theme {
  const found = localStorage.getItem(PLACE);
  return found === "light" || found === "dark" ? found : "system";
}
