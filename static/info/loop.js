// Two connections in this page that may reach each other through TURN servers only: what arrives was relayed.
import { Chart } from './chart.js';
import { element, say } from './page.js';

const CONNECT_LIMIT = 15000;
const QUIET = 3000; // milliseconds of pings alone: under load they measure the queue
const LOADED = 5000; // milliseconds with as much data as goes through,
const MOST = 30e6; // bytes, at most
const PING_EVERY = 200;
const DRAW_EVERY = 250;
const CHUNK = new Uint8Array(16384);
const QUEUE = 1 << 20; // bytes that may wait in the browser

// Resolves when data went through the relay for the whole time; rejects with what went wrong.
export async function runLoop(iceServers, signal) {
  const [near, far] = [1, 2].map(() => new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay' }));
  try {
    say(element('loop-status'), 'Connecting through the relay…');
    const channels = await connect(near, far, signal);
    say(element('path'), await relayedPath(near));
    await measure(channels, signal);
    say(element('loop-status'), 'Data went out through the relay and came back.', 'ok');
  } finally {
    near.close();
    far.close();
  }
}

async function connect(near, far, signal) {
  passCandidates(near, far);
  passCandidates(far, near);
  const options = { negotiated: true, ordered: false, maxRetransmits: 0 };
  const [pings, echo] = [near, far].map((each) => each.createDataChannel('pings', { ...options, id: 0 }));
  const [load, sink] = [near, far].map((each) => each.createDataChannel('load', { negotiated: true, id: 1 }));
  const open = Promise.all([pings, echo, load, sink].map((channel) => opened(channel, signal)));
  open.catch(() => {}); // told below, if nothing else goes wrong before
  await near.setLocalDescription(await near.createOffer());
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription(await far.createAnswer());
  await near.setRemoteDescription(far.localDescription);
  await open;
  return { pings, echo, load, sink };
}

function passCandidates(from, to) {
  from.addEventListener('icecandidate', ({ candidate }) => {
    if (candidate) to.addIceCandidate(candidate).catch(() => {}); // it may be closed by now
  });
}

function opened(channel, signal) {
  return new Promise((resolve, reject) => {
    channel.addEventListener('open', resolve);
    signal.addEventListener('abort', () => reject(signal.reason));
    setTimeout(() => reject(new Error('No connection through the relay: it may refuse to relay to itself.')), CONNECT_LIMIT);
  });
}

// Says which candidates carry the data; an error when one of them is no relay.
async function relayedPath(connection) {
  const stats = [...(await connection.getStats()).values()];
  const pair = stats.find(({ type, state, nominated }) => type === 'candidate-pair' && state === 'succeeded' && nominated);
  const [local, remote] = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => stats.find((each) => each.id === id));
  if (local?.candidateType !== 'relay' || remote?.candidateType !== 'relay') throw new Error('The data does not go through a relay.');
  return `relay (${local.relayProtocol ?? local.protocol}) to relay`;
}

async function measure({ pings, echo, load, sink }, signal) {
  const measured = { roundTrip: null, received: 0, pongs: 0 };
  measured.all = new Promise((resolve) => (measured.end = resolve));
  echo.addEventListener('message', ({ data }) => send(echo, data));
  pings.addEventListener('message', ({ data }) => {
    measured.roundTrip = performance.now() - Number(data);
    measured.pongs += 1;
  });
  sink.binaryType = 'arraybuffer';
  sink.addEventListener('message', ({ data }) => {
    measured.received += data.byteLength;
    if (measured.received >= MOST) measured.end();
  });

  const timers = [setInterval(() => send(pings, String(performance.now())), PING_EVERY), setInterval(draw(measured), DRAW_EVERY)];
  try {
    say(element('loop-status'), 'Measuring the round trip…');
    await pause(QUIET, signal);
    say(element('loop-status'), 'Sending as much as goes through…');
    const enough = keepSending(load);
    await Promise.race([pause(LOADED, signal), measured.all]);
    enough();
  } finally {
    timers.forEach(clearInterval);
  }
  if (!measured.pongs || !measured.received) throw new Error('Nothing came back through the relay.');
}

function send(channel, data) {
  if (channel.readyState === 'open') channel.send(data);
}

// Fills the channel whenever it runs low, until it got the most; returns what ends that before.
function keepSending(channel) {
  let left = Math.ceil(MOST / CHUNK.length);
  const fill = () => {
    for (; left > 0 && channel.readyState === 'open' && channel.bufferedAmount < QUEUE; left -= 1) channel.send(CHUNK);
  };
  channel.bufferedAmountLowThreshold = QUEUE / 2;
  channel.addEventListener('bufferedamountlow', fill);
  fill();
  return () => (left = 0);
}

// Returns what draws the numbers of the time since it was called last.
function draw(measured) {
  const roundTrips = new Chart(element('round-trip-chart'));
  const rates = new Chart(element('throughput-chart'));
  let [before, when] = [0, performance.now()];
  return () => {
    const now = performance.now();
    const rate = ((measured.received - before) * 8) / 1000 / (now - when);
    [before, when] = [measured.received, now];
    rates.add(rate);
    say(element('throughput'), `${rate.toFixed(1)} Mbit/s`);
    say(element('relayed'), `${(measured.received / 1e6).toFixed(1)} MB`);
    if (measured.roundTrip === null) return;
    roundTrips.add(measured.roundTrip);
    say(element('round-trip'), `${measured.roundTrip.toFixed(1)} ms`);
  };
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}
