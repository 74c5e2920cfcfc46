// Keeps uptime, counts and the server's own STUN and TURN test up to date.
import { addRow, clear, duration, element, say } from './page.js';

const EVERY = 5000;
const EVERY_WHILE_TESTING = 500;

export async function watchServer() {
  for (;;) {
    const live = document.hidden ? null : await ask();
    if (live) show(live);
    await new Promise((done) => setTimeout(done, live?.webrtcTest.running ? EVERY_WHILE_TESTING : EVERY));
  }
}

async function ask() {
  try {
    const answer = await fetch('/live');
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // the server is away: what is shown stays
  }
}

function show(live) {
  for (const target of document.querySelectorAll('[data-live]')) {
    const name = target.dataset.live;
    target.textContent = name === 'uptime' ? duration(live.uptime) : live[name];
  }
  showTest(live.webrtcTest);
}

function showTest({ running, summary, age, results }) {
  const passed = results.every(({ ok }) => ok);
  const state = !results.length ? '' : passed ? 'ok' : 'failed';
  say(element('own-summary'), running ? 'The test is running.' : summary, running ? '' : state);
  element('own-age').textContent = age === null ? '' : `${duration(age)} ago`;
  clear(element('own-results'));
  for (const result of results) showResult(result);
}

function showResult({ server, transport, ok, ms, error }) {
  const row = addRow(element('own-results'), [server, transport, ok ? `answered in ${ms} ms` : error]);
  row.cells[2].className = ok ? 'ok' : 'failed';
}
