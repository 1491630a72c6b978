// Descriptions as the API writes them: paragraphs, and code between backticks.
export function Prose({ text }: { text: string }) {
  return (
    <>
      {text.split(/\n\s*\n/).map((paragraph, at) => (
        <p key={at}>
          {paragraph.split(/(`+[^`]+`+|\*[^*]+\*)/).map((part) => {
            if (part.startsWith("`")) return <code>{part.replaceAll("`", "")}</code>;
            return part.startsWith("*") && part.length > 2 ? <em>{part.slice(1, -1)}</em> : part;
          })}
        </p>
      ))}
    </>
  );
}
