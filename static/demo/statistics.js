// What a call is like, from RTCPeerConnection.getStats(): one line for each connection, renewed every second.

/**
 * Show connections in a table's body for as long as the page lives. `connections()` gives {in, out}, a Map of
 * RTCPeerConnections by peer for each direction, or undefined.
 */
export function showStatistics(body, connections) {
    const labels = [...body.parentElement.tHead.rows[0].cells].map((cell) => cell.textContent);
    const last = new WeakMap(); // the counters of each connection, to tell what was new since
    const renew = async () => {
        const all = Object.entries(connections()).flatMap(([direction, calls]) =>
            [...(calls ?? [])].map(([peer, connection]) => line(peer, direction, connection, last)),
        );
        body.replaceChildren(...(await Promise.all(all)).map((values) => row(values, labels)));
    };
    setInterval(renew, 1000);
}

async function line(peer, direction, connection, last) {
    const reports = [...(await connection.getStats()).values()];
    const now = read(reports, direction);
    const before = last.get(connection) ?? now;
    last.set(connection, now);
    return [
        peer,
        direction === 'in' ? 'receiving' : 'sending',
        route(reports) || connection.connectionState,
        now.width ? `${now.width}x${now.height}, ${now.frames ?? 0} fps` : '-',
        `${Math.round(rate(now, before))} kbps`,
        `${(share(now, before) * 100).toFixed(1)} %`,
        now.roundTrip === undefined ? '-' : `${Math.round(now.roundTrip * 1000)} ms`,
    ];
}

/** The counters that matter: bytes and packets of all tracks, and the picture. */
function read(reports, direction) {
    const streams = reports.filter((report) => report.type === (direction === 'in' ? 'inbound-rtp' : 'outbound-rtp'));
    const losses = direction === 'in' ? streams : reports.filter((report) => report.type === 'remote-inbound-rtp');
    const lost = sum(losses, 'packetsLost');
    const video = streams.find((report) => report.kind === 'video') ?? {};
    return {
        at: streams[0]?.timestamp ?? 0,
        bytes: sum(streams, 'bytesReceived') + sum(streams, 'bytesSent'),
        sent: sum(streams, 'packetsSent') + (direction === 'in' ? sum(streams, 'packetsReceived') + lost : 0),
        lost,
        width: video.frameWidth,
        height: video.frameHeight,
        frames: video.framesPerSecond,
        roundTrip: pair(reports)?.currentRoundTripTime,
    };
}

function rate(now, before) {
    return now.at > before.at ? ((now.bytes - before.bytes) * 8) / (now.at - before.at) : 0;
}

function share(now, before) {
    const lost = Math.max(0, now.lost - before.lost);
    return lost && Math.min(1, lost / Math.max(1, now.sent - before.sent));
}

/** The kind of way the packets take, this side's first: host, srflx, prflx or relay. */
function route(reports) {
    const chosen = pair(reports);
    const ends = [chosen?.localCandidateId, chosen?.remoteCandidateId].map((id) => reports.find((one) => one.id === id));
    if (!ends[0] || !ends[1]) return '';
    const [local, remote] = ends;
    return `${local.candidateType} to ${remote.candidateType}, ${local.relayProtocol ?? local.protocol}`;
}

function pair(reports) {
    const transport = reports.find((report) => report.type === 'transport' && report.selectedCandidatePairId);
    const chosen = transport && reports.find((report) => report.id === transport.selectedCandidatePairId);
    return chosen ?? reports.find((report) => report.type === 'candidate-pair' && report.nominated);
}

function sum(reports, name) {
    return reports.reduce((total, report) => total + (report[name] ?? 0), 0);
}

function row(values, labels) {
    const line = document.createElement('tr');
    const cells = values.map((text, index) => {
        const cell = document.createElement(index ? 'td' : 'th');
        cell.textContent = text;
        cell.dataset.label = labels[index]; // shown where the table is a list
        return cell;
    });
    cells[0].scope = 'row';
    line.append(...cells);
    return line;
}
