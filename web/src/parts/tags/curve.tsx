// Precision over recall, as a line, with the tagger's threshold on it.
import { short } from "../../state/words";

interface Props {
  points: { recall: number; precision: number; threshold: number }[];
  /** The recall and precision at the threshold in service. */
  mark: { recall: number; precision: number } | null;
}

const SIDE = 150;

export function Curve({ points, mark }: Props) {
  if (points.length === 0) return null;
  const x = (value: number) => 22 + value * (SIDE - 26);
  const y = (value: number) => 4 + (1 - value) * (SIDE - 26);
  const line = points.map((one) => `${x(one.recall).toFixed(1)},${y(one.precision).toFixed(1)}`).join(" ");
  return (
    <svg class="curve" viewBox={`0 0 ${SIDE} ${SIDE}`} role="img" aria-label={`Precision over recall, ${points.length} points`}>
      <path class="axes" d={`M${x(0)} ${y(1)}V${y(0)}H${x(1)}`} />
      <polyline points={line} />
      {points.map((one) => (
        <circle key={one.threshold} class="at" cx={x(one.recall)} cy={y(one.precision)} r="5">
          <title>{`from score ${short(one.threshold)}: precision ${short(one.precision)}, recall ${short(one.recall)}`}</title>
        </circle>
      ))}
      {mark && <circle class="mark" cx={x(mark.recall)} cy={y(mark.precision)} r="3.5" />}
      <text x={x(0.5)} y={SIDE - 4} text-anchor="middle">recall</text>
      <text x="9" y={y(0.5)} text-anchor="middle" transform={`rotate(-90 9 ${y(0.5)})`}>precision</text>
    </svg>
  );
}
