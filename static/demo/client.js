// A small client of the signaling server, to copy from: all that a page needs to send and to watch streams. It needs
// the official client, <script src="/socket.io/socket.io.min.js">, and nothing else; docs/protocol.md describes what
// is said here. The server only carries messages: sound and pictures go from browser to browser, or over TURN.

/**
 * Connect to the server this page came from. `auth` is {token}, or {account, user, pin}. `joined` is called each time
 * the connection stands, again after every interruption; `ended` once it will not come back, with the reason.
 */
export function connect(auth, { joined, ended, say }) {
    const socket = io({ auth, transports: ['websocket'] });
    socket.on('connect', joined);
    socket.on('connect_error', (error) => (socket.active ? say('Looking for the server…') : ended(error.message)));
    socket.on('disconnect', (reason) => {
        if (reason === 'io client disconnect') return; // as this page wished
        if (socket.active) say('The connection was lost.');
        else ended('The server ended the connection.');
    });
    return socket;
}

/** Whether there is a server among these that can relay. */
function canRelay(peerConfig) {
    const urls = (peerConfig?.iceServers ?? []).flatMap((server) => server.urls);
    return urls.some((url) => /^turns?:/.test(url));
}

/**
 * Send one stream to everybody in its channel. The server says who that is: `peers` after publishing, `peer` for each
 * who comes later. Each gets an RTCPeerConnection of its own, offered by this side.
 */
export class Broadcaster {
    connections = new Map(); // by the player's peerID

    /**
     * `stream` is a MediaStream with a track or none of each kind, `bitrate` what its video may take in kbps, `relay`
     * whether only the TURN server may be used. `changed` is called whenever players come, go or change state.
     */
    constructor(socket, { name, channel, stream, bitrate, relay = false, changed = () => {}, failed = console.warn }) {
        Object.assign(this, { socket, name, channel, stream, bitrate, relay, changed });
        socket.on('message', (message) => this.#receive(message).catch(failed));
    }

    /** Send another track to everybody, instead of the one of its kind. */
    async replaceTrack(track) {
        const senders = [...this.connections.values()].map((connection) => sendersOf(connection)[track.kind]);
        await Promise.all(senders.map((sender) => sender.replaceTrack(track)));
    }

    close() {
        [...this.connections.keys()].forEach((player) => this.#hangUp(player));
    }

    async #receive(message) {
        if (message.type === 'peers' && message.target === this.name) {
            const players = message.peers.filter((peer) => peer.type === 'player');
            await Promise.all(players.map((peer) => this.#offer(peer.peerID, message.peerConfig)));
        } else if (message.type === 'peer' && message.target === this.name) {
            await this.#offer(message.peerID, message.peerConfig);
        } else if (message.type === 'peerLeft' && message.target === this.name) {
            this.#hangUp(message.peerID);
        } else if (message.channel === this.channel) {
            await take(message, this.connections.get(message.from));
        }
    }

    async #offer(player, peerConfig) {
        this.#hangUp(player);
        const connection = newConnection(this, player, peerConfig);
        for (const kind of ['audio', 'video']) {
            const [track] = this.stream.getTracks().filter((each) => each.kind === kind);
            connection.addTransceiver(track ?? kind, { direction: 'sendonly', streams: [this.stream] });
        }
        this.connections.set(player, connection);
        this.changed();
        await connection.setLocalDescription();
        send(this, player, { type: 'offer', content: connection.localDescription });
        await limit(sendersOf(connection).video, this.bitrate);
    }

    #hangUp(player) {
        this.connections.get(player)?.close();
        if (this.connections.delete(player)) this.changed();
    }
}

/**
 * Watch who sends in the channels this socket is subscribed to; rooms subscribe their participants by themselves.
 * `show(sender, stream)` puts a stream on the page, `hide(sender)` takes it away, `lost(sender)` tells of a call that
 * broke: subscribing again (in a room, joining again) makes the broadcaster call again.
 *
 * The server passes on what anybody in a channel offers. A channel has one broadcaster, so who calls first is kept until
 * the server says that it stopped, or the call breaks. Where the server has said who sends, as in rooms,
 * `expects(sender, channel)` tells whether it is that one.
 */
export class Viewer {
    connections = new Map(); // by the broadcaster's peerID

    constructor(socket, options) {
        const { relay = false, show, hide, lost, expects = () => true, changed = () => {}, failed = console.warn } = options;
        Object.assign(this, { socket, relay, show, hide, lost, expects, changed });
        this.channels = new Map(); // the channel of each of them
        socket.on('message', (message) => this.#receive(message).catch(failed));
    }

    /** Take leave of everybody who sends in this channel. */
    leave(channel) {
        const senders = [...this.channels].filter((entry) => entry[1] === channel).map(([sender]) => sender);
        senders.forEach((sender) => this.#hangUp(sender));
    }

    close() {
        [...this.connections.keys()].forEach((sender) => this.#hangUp(sender));
    }

    async #receive(message) {
        if (message.type === 'offer') {
            if (this.#isExpected(message)) await this.#answer(message);
        } else if (message.type === 'unpublished') {
            this.leave(message.channel);
        } else if (message.type === 'candidate' && message.channel === this.channels.get(message.from)) {
            await take(message, this.connections.get(message.from));
        }
    }

    #isExpected({ from, channel }) {
        const rival = ([sender, theirs]) => sender !== from && (theirs === channel || !theirs || !channel);
        return ![...this.channels].some(rival) && this.expects(from, channel);
    }

    async #answer({ from, channel, content, peerConfig }) {
        const call = { socket: this.socket, channel, relay: this.relay, changed: this.changed };
        const connection = newConnection(call, from, peerConfig, () => this.lost(from));
        this.connections.get(from)?.close();
        connection.ontrack = ({ streams, track }) => this.show(from, streams[0] ?? new MediaStream([track]));
        this.connections.set(from, connection);
        this.channels.set(from, channel);
        this.changed();
        try {
            await connection.setRemoteDescription(content);
            await connection.setLocalDescription();
        } catch (error) {
            this.#hangUp(from); // nothing that can be answered
            throw error;
        }
        send(call, from, { type: 'answer', content: connection.localDescription });
    }

    #hangUp(sender) {
        this.connections.get(sender)?.close();
        this.channels.delete(sender);
        if (this.connections.delete(sender)) this.hide(sender);
        this.changed();
    }
}

function newConnection(call, peer, peerConfig, lost = () => {}) {
    if (call.relay && !canRelay(peerConfig)) throw new Error('There is no TURN server to relay.');
    const connection = new RTCPeerConnection({ ...peerConfig, iceTransportPolicy: call.relay ? 'relay' : 'all' });
    connection.onicecandidate = ({ candidate }) => candidate && send(call, peer, { type: 'candidate', candidate });
    connection.onconnectionstatechange = () => {
        call.changed();
        if (connection.connectionState === 'failed') lost();
    };
    return connection;
}

/** Hand an answer or a candidate to the connection it is for; it may be gone by now. */
async function take({ type, content, candidate }, connection) {
    if (type === 'answer') await connection?.setRemoteDescription(content);
    if (type === 'candidate') await connection?.addIceCandidate(candidate);
}

function send({ socket, channel }, target, message) {
    socket.emit('messagePeer', { ...message, target, channel });
}

function sendersOf(connection) {
    const [audio, video] = connection.getSenders(); // in the order they were added
    return { audio, video };
}

/** Keep to the bitrate that was published, kbps. */
async function limit(sender, bitrate) {
    const parameters = sender.getParameters();
    parameters.encodings.forEach((encoding) => (encoding.maxBitrate = bitrate * 1000));
    await sender.setParameters(parameters);
}
