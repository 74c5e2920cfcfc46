"use strict";
// The peer of the benchmark: the same relay, channels and chat on stock Socket.IO, as short as they can be.
const fs = require("node:fs");
const { Server } = require("socket.io");

const { PORT, STATIC_TOKEN, CERTIFICATE } = process.env;
const http = CERTIFICATE
  ? require("node:https").createServer({ key: fs.readFileSync(`${CERTIFICATE}.key`), cert: fs.readFileSync(`${CERTIFICATE}.crt`) })
  : require("node:http").createServer();
const io = new Server(http, {
  transports: ["websocket"], pingInterval: 5000, pingTimeout: 10000, perMessageDeflate: false, serveClient: false,
});
const channels = new Map(); // name -> { peers: peerID -> socket, broadcaster: peerID }

http.on("request", (request, response) => {
  if (request.url !== "/stats") return;
  let players = 0;
  for (const channel of channels.values()) players += channel.peers.size - (channel.broadcaster ? 1 : 0);
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ _static: { connections: io.engine.clientsCount, players } }));
});

io.engine.on("connection", (raw) => { raw.request = null; }); // Socket.IO's own advice to save memory
io.use((socket, next) => next(socket.handshake.auth.token === STATIC_TOKEN ? undefined : new Error("ERROR: Authentication error")));
io.on("connection", (socket) => {
  const mine = new Map(); // channel name -> own peerID
  const user = socket.handshake.auth.user;

  const enter = (peerID, name) => {
    if (!channels.has(name)) channels.set(name, { peers: new Map(), broadcaster: null });
    channels.get(name).peers.set(peerID, socket);
    mine.set(name, peerID);
    return channels.get(name);
  };
  socket.on("publish", (peerID, name, params, ack) => {
    const channel = enter(peerID, name);
    channel.broadcaster = peerID;
    const peers = Array.from(channel.peers, ([id, peer]) => ({ peerID: id, socketId: peer.id }));
    socket.emit("message", { type: "peers", from: "_channel_", target: peerID, peers });
    if (ack) ack({ ok: true });
  });
  socket.on("subscribe", (peerID, name, ack) => {
    const { broadcaster, peers } = enter(peerID, name);
    peers.get(broadcaster)?.emit("message", { type: "peer", from: "_server_", target: broadcaster, peerID });
    if (ack) ack({ ok: true });
  });
  socket.on("messagePeer", (message) => {
    const from = mine.get(message.channel);
    if (from === undefined) return;
    message.from = from;
    channels.get(message.channel).peers.get(message.target)?.emit("message", message);
  });
  socket.on("roomJoin", ({ room }, ack) => {
    socket.join(room);
    io.to(room).emit("roomUpdate", { room, participantJoin: { name: user, joinedAt: Date.now() }, timestamp: Date.now() });
    if (ack) ack({ ok: true });
  });
  socket.on("roomMessage", ({ room, message }) => {
    if (!socket.rooms.has(room)) return;
    const timestamp = Date.now();
    io.to(room).emit("roomUpdate", { room, messageNew: { ...message, user, timestamp }, timestamp });
  });
  socket.on("disconnect", () => {
    for (const [name, peerID] of mine) {
      const { peers, broadcaster } = channels.get(name);
      peers.delete(peerID);
      if (peerID === broadcaster) channels.get(name).broadcaster = null;
      else peers.get(broadcaster)?.emit("message", { type: "peerLeft", from: "_server_", target: broadcaster, peerID });
      if (peers.size === 0) channels.delete(name);
    }
  });
});

http.listen(Number(PORT), "127.0.0.1", 4096);
