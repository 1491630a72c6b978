// The colours that values of a field have: the same value the same colour in every part of a page.
import { isDark } from "./theme";

const LIGHT = ["#5a8ed1", "#4f9c62", "#c07a3b", "#be6566", "#b56fae", "#1f9a9a", "#a8903a", "#7f7bc8", "#a45631", "#cf6f9c"];
const DARK = ["#79b1f9", "#79ca8b", "#efa464", "#e68485", "#e69edf", "#3bcfcf", "#d9c060", "#a09cf0", "#cb764e", "#ffa7d2"];

/** Return the colour of the value with this place in the order of all values; grey after the tenth. */
export function valueColour(place: number): string {
  return (isDark.value ? DARK : LIGHT)[place] ?? (isDark.value ? "#5d5850" : "#b3ada3");
}
