// A small client of the signaling server: everything a page needs to send and to watch streams.
// The server only carries messages; sound and pictures go from browser to browser.

export const parameters = Object.fromEntries(new URLSearchParams(location.search));

/** Load the server's own Socket.IO client, connect, and resolve with the socket once let in. */
export async function connect(server, auth) {
    await new Promise((resolve, reject) => {
        const script = document.createElement('script');
        script.src = `${server}/socket.io/socket.io.js`;
        script.onload = resolve;
        script.onerror = () => reject(new Error(`no client at ${script.src}`));
        document.head.append(script);
    });
    const socket = io(server, { auth, transports: ['websocket'], reconnection: false });
    await new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('connect_error', reject);
    });
    return socket;
}

/** The camera and microphone, in a picture small enough for any machine. */
export function camera() {
    return navigator.mediaDevices.getUserMedia({
        audio: true,
        video: { width: 320, height: 240, frameRate: 15 },
    });
}

/**
 * Send one stream to everybody in its channel. The server says who that is: `peers` after publishing,
 * `peer` for each who comes later. Each gets a connection of its own, offered by this side.
 */
export class Broadcaster {
    constructor(socket, name, channel, stream) {
        Object.assign(this, { socket, name, channel, stream });
        this.connections = new Map(); // by the player's peerID
        socket.on('message', (message) => this.receive(message));
    }

    async receive(message) {
        const connection = this.connections.get(message.from);
        if (message.type === 'peers' && message.target === this.name) {
            const players = message.peers.filter((peer) => peer.type === 'player');
            players.forEach((peer) => this.offer(peer.peerID, message.peerConfig));
        } else if (message.type === 'peer') {
            this.offer(message.peerID, message.peerConfig);
        } else if (message.type === 'peerLeft') {
            hangUp(this.connections, message.peerID);
        } else if (message.channel !== this.channel || !connection) {
            return;
        } else if (message.type === 'answer') {
            await connection.setRemoteDescription(message.content);
        } else if (message.type === 'candidate') {
            await connection.addIceCandidate(message.candidate);
        }
    }

    async offer(player, peerConfig) {
        hangUp(this.connections, player);
        const connection = newConnection(this, player, peerConfig);
        this.connections.set(player, connection);
        this.stream.getTracks().forEach((track) => connection.addTrack(track, this.stream));
        await connection.setLocalDescription();
        send(this, player, { type: 'offer', content: connection.localDescription, peerConfig });
    }
}

/** Watch whoever sends on any channel this page is subscribed to; `show(sender, stream)` puts it on the page. */
export class Viewer {
    constructor(socket, name, show) {
        Object.assign(this, { socket, name, show });
        this.connections = new Map(); // by the broadcaster's peerID
        this.offers = new Map(); // the SDP each of them offered
        socket.on('message', (message) => this.receive(message));
    }

    async receive(message) {
        if (message.type === 'offer') {
            await this.answer(message);
        } else if (message.type === 'candidate') {
            const connection = this.connections.get(message.from);
            if (connection?.channel === message.channel) await connection.addIceCandidate(message.candidate);
        } else if (message.type === 'unpublished') {
            const left = [...this.connections].filter(([, { channel }]) => channel === message.channel);
            left.forEach(([sender]) => hangUp(this.connections, sender));
        }
    }

    async answer({ from, channel, content, peerConfig }) {
        hangUp(this.connections, from);
        const connection = newConnection({ socket: this.socket, channel }, from, peerConfig);
        connection.channel = channel;
        connection.ontrack = (event) => this.show(from, event.streams[0]);
        this.connections.set(from, connection);
        this.offers.set(from, content.sdp);
        await connection.setRemoteDescription(content);
        await connection.setLocalDescription();
        send({ socket: this.socket, channel }, from, { type: 'answer', content: connection.localDescription });
    }

    /** How many video frames of this sender were decoded, on the connection there is now. */
    async framesDecoded(sender) {
        const connection = this.connections.get(sender);
        if (!connection) return 0;
        const reports = [...(await connection.getStats()).values()];
        const video = reports.find((report) => report.type === 'inbound-rtp' && report.kind === 'video');
        return video?.framesDecoded ?? 0;
    }
}

function newConnection(call, peer, peerConfig) {
    const connection = new RTCPeerConnection(peerConfig);
    connection.onicecandidate = ({ candidate }) => {
        if (candidate) send(call, peer, { type: 'candidate', candidate });
    };
    return connection;
}

function hangUp(connections, peer) {
    connections.get(peer)?.close();
    connections.delete(peer);
}

function send({ socket, channel }, target, message) {
    socket.emit('messagePeer', { ...message, target, channel });
}

/** Put a stream on the page, one picture for each sender. */
export function show(sender, stream) {
    const video = document.getElementById(sender) ?? document.createElement('video');
    Object.assign(video, { id: sender, srcObject: stream, autoplay: true, muted: true, playsInline: true });
    document.body.append(video);
}

export function say(text) {
    const line = document.createElement('p');
    line.textContent = text;
    document.body.append(line);
}
