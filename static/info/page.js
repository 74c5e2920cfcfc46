// What the parts of the page share. Whatever comes from elsewhere is shown as text.

export const element = (id) => document.getElementById(id);

// Sets text only when it differs, so that live regions do not repeat themselves.
export function say(target, text, state = '') {
  if (target.textContent !== text) target.textContent = text;
  target.className = state;
}

// Adds a row to a table's body; the table comes into view with its first row.
export function addRow(body, texts) {
  const row = body.insertRow();
  for (const text of texts) row.insertCell().textContent = text;
  body.closest('.scroll').hidden = false;
  return row;
}

export function clear(body) {
  body.replaceChildren();
  body.closest('.scroll').hidden = true;
}

// Says milliseconds as people do, like vws/http/pages.py does.
export function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}
