// Has a browser gather candidates from one STUN or TURN server, and says how that went.

const LIMIT = 15000; // Chromium itself gives up after some 10 seconds

// Calls found(candidate, milliseconds) for each candidate; returns {state, text, relayed}.
export async function tryServer(server, { signal, found }) {
  const relays = server.urls.startsWith('turn');
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: relays ? 'relay' : 'all' });
  try {
    return await gather(connection, { relays, signal, found });
  } finally {
    connection.close();
  }
}

async function gather(connection, { relays, signal, found }) {
  const wanted = relays ? 'relay' : 'srflx';
  const begun = performance.now();
  const errors = [];
  connection.addEventListener('icecandidateerror', (error) => errors.push(error));
  connection.createDataChannel('test');
  const outcome = new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
    setTimeout(() => resolve(failed(`timeout after ${LIMIT / 1000} s`)), LIMIT);
    connection.addEventListener('icecandidate', ({ candidate }) => {
      const after = Math.round(performance.now() - begun);
      if (!candidate) resolve(verdictWithout(wanted, errors));
      if (!candidate?.candidate) return; // an empty one ends a generation
      found(candidate, after);
      if (candidate.type === wanted) resolve({ state: 'ok', text: `answered in ${after} ms`, relayed: relays });
    });
  });
  await connection.setLocalDescription(await connection.createOffer());
  return outcome;
}

// The gathering ended without the candidate that was wanted.
function verdictWithout(wanted, errors) {
  if (errors.length) return failed(reason(errors.at(-1)));
  if (wanted === 'relay') return failed('no answer');
  if (!('onicecandidateerror' in RTCPeerConnection.prototype)) {
    return { state: 'muted', text: 'no address and no error: not reachable, or nothing translates addresses', relayed: false };
  }
  return { state: 'ok', text: 'answered: nothing translates addresses between you and it', relayed: false };
}

function reason({ errorCode, errorText, url }) {
  if (errorCode === 401) return 'wrong credentials';
  if (errorCode !== 701) return `refused: ${errorCode} ${errorText}`; // the server's own words
  if (/timed out/.test(errorText)) return 'timeout';
  return url.startsWith('turns:') ? 'unreachable, or its certificate is not valid' : `unreachable (${errorText})`;
}

function failed(text) {
  return { state: 'failed', text, relayed: false };
}
