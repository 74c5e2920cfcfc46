// The test that this browser runs: a verdict per server and transport, then the loop through the relay.
import { tryServer } from './gather.js';
import { runLoop } from './loop.js';
import { addRow, clear, element, say } from './page.js';

let stopped = null; // aborts the test that is running

export async function prepareTest() {
  element('browser').hidden = false;
  element('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    start();
  });
  element('start').addEventListener('click', start);
  element('stop').addEventListener('click', () => stopped?.abort());
  element('key-form').hidden = !(await iceServers())?.keyNeeded;
}

async function start() {
  if (stopped) return;
  stopped = new AbortController();
  element('start').disabled = true;
  element('stop').disabled = false;
  try {
    await test(stopped.signal);
  } catch (error) {
    say(element('browser-status'), stopped.signal.aborted ? 'Stopped.' : error.message, 'failed');
  }
  element('start').disabled = false;
  element('stop').disabled = true;
  stopped = null;
}

async function test(signal) {
  for (const id of ['verdicts', 'candidates']) clear(element(id));
  element('loop').hidden = true;
  say(element('browser-status'), 'Asking the servers…');
  const config = await iceServers();
  if (!config) throw new Error('The server does not say which STUN and TURN servers there are.');

  const servers = oneByOne(config.iceServers);
  const progress = countTo(servers.length);
  const verdicts = await Promise.all(servers.map((server) => judge(server, signal).finally(progress)));
  signal.throwIfAborted();
  const relays = verdicts.filter(({ relayed }) => relayed).map(({ server }) => server);
  const relayed = relays.length > 0 && (await loop(relays, signal));
  conclude(verdicts, { relayed, keyNeeded: config.keyNeeded });
}

// Returns what says, each time it is called, that one more of the checks is done.
function countTo(total) {
  let done = 0;
  return () => say(element('browser-status'), `Asking the servers: ${(done += 1)} of ${total} checks done.`);
}

async function iceServers() {
  const key = element('key').value;
  try {
    const answer = await fetch('/ice-servers', { headers: key ? { 'X-API-Key': encodeKey(key) } : {} });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

// Headers hold bytes: a key that is not ASCII travels as its UTF-8.
function encodeKey(key) {
  return String.fromCharCode(...new TextEncoder().encode(key));
}

// Makes a list with one URL per entry, as every one gets a verdict of its own.
function oneByOne(servers) {
  return servers.flatMap(({ urls, ...login }) => [urls].flat().map((url) => ({ ...login, urls: url })));
}

async function judge(server, signal) {
  const { address, label } = describe(server.urls);
  const row = addRow(element('verdicts'), [address, label, 'asking…']);
  const verdict = await tryServer(server, {
    signal,
    found: (candidate, after) => showCandidate(candidate, label, after),
  });
  say(row.cells[2], verdict.text, verdict.state);
  return { ...verdict, server };
}

function describe(url) {
  const [, scheme, secure, address, transport] = url.match(/^(stun|turn)(s?):([^?]*)(?:\?transport=(\w+))?/);
  const suffix = secure ? 'S' : scheme === 'turn' ? `/${(transport ?? 'udp').toUpperCase()}` : '';
  return { address, label: scheme.toUpperCase() + suffix };
}

function showCandidate({ type, protocol, address, port, relayProtocol }, label, after) {
  const carrier = relayProtocol ? `${protocol} over ${relayProtocol}` : protocol;
  addRow(element('candidates'), [type, carrier, `${address}:${port}`, type === 'host' ? 'this device' : label, `${after} ms`]);
}

async function loop(servers, signal) {
  element('loop').hidden = false;
  say(element('browser-status'), 'Sending data through the relay…');
  try {
    await runLoop(servers, signal);
    return true;
  } catch (error) {
    say(element('loop-status'), signal.aborted ? 'Stopped.' : error.message, 'failed');
    signal.throwIfAborted(); // whether it relays is not known then
    return false;
  }
}

function conclude(verdicts, { relayed, keyNeeded }) {
  const failed = verdicts.filter(({ state }) => state === 'failed').length;
  const tested = verdicts.some(({ server }) => server.urls.startsWith('turn'));
  const sentences = [failed ? `${failed} of ${verdicts.length} checks failed.` : 'Every server answered.'];
  if (tested) sentences.push(relayed ? 'TURN relays.' : 'TURN does not relay.');
  if (keyNeeded) sentences.push('TURN was not tested: that needs the API key.');
  say(element('browser-status'), sentences.join(' '), failed || (tested && !relayed) ? 'failed' : 'ok');
}
