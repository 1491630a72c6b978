// The curve of a tagger: what its scores are worth.

/** Points of the curve of precision over recall, from the scores of images that the tagger was judged on. */
export function curveOf(metrics: Record<string, unknown>): { recall: number; precision: number; threshold: number }[] {
  const [yes, no] = [metrics["positive_histogram"], metrics["negative_histogram"]] as (number[] | undefined)[];
  if (!yes || !no || yes.length !== no.length) return [];
  const all = yes.reduce((sum, count) => sum + count, 0);
  const points: { recall: number; precision: number; threshold: number }[] = [];
  let [above, wrong] = [0, 0];
  for (let bin = yes.length - 1; bin >= 0; bin -= 1) {
    above += yes[bin]!;
    wrong += no[bin]!;
    if (above + wrong > 0 && all > 0) points.push({ recall: above / all, precision: above / (above + wrong), threshold: bin / yes.length });
  }
  return points;
}
