// Camera, microphone and screen in one MediaStream, whose tracks change while it is sent.

const QUALITIES = {
    240: { width: 320, height: 240, frameRate: 15, bitrate: 150, audioBitrate: 32 },
    360: { width: 640, height: 360, frameRate: 30, bitrate: 500, audioBitrate: 32 },
    720: { width: 1280, height: 720, frameRate: 30, bitrate: 1500, audioBitrate: 64 },
};

/** What to publish with, by the picture's height: sizes in pixels, bitrates in kbps. */
export function quality(height) {
    return QUALITIES[height];
}

export class Media {
    stream = new MediaStream();
    sharing = false;
    #closed = false;
    #muted = { audio: false, video: false };
    #devices = { audio: true, video: true }; // what was chosen; true for any

    /** `replaced` is called with every track that takes another's place, `changed` when another device or the screen is used. */
    constructor({ width, height, frameRate }, { replaced = () => {}, changed = () => {} } = {}) {
        this.size = { width: { ideal: width, max: width }, height: { ideal: height, max: height } };
        this.size.frameRate = { ideal: frameRate, max: frameRate };
        Object.assign(this, { replaced, changed });
    }

    /** Ask for camera and microphone; one of them will do. */
    async open() {
        if (!navigator.mediaDevices) throw new Error('Browsers give cameras to https:// and to localhost only.');
        const tries = [{ audio: true, video: this.size }, { video: this.size }, { audio: true }];
        const stream = await firstOf(tries.map((wanted) => () => navigator.mediaDevices.getUserMedia(wanted)));
        stream.getTracks().forEach((track) => this.#put(track));
        this.#tell();
    }

    /** Change to another camera or microphone: `kind` is video or audio. */
    async choose(kind, deviceId) {
        this.#devices[kind] = { deviceId: { exact: deviceId } };
        if (kind === 'video' && this.sharing) return; // for when the screen is gone
        await this.#reopen(kind);
    }

    /** Send the screen instead of the camera, no larger than that. */
    async share() {
        const screen = await navigator.mediaDevices.getDisplayMedia({ video: this.size });
        const [track] = screen.getVideoTracks();
        track.addEventListener('ended', () => this.unshare()); // by the browser's own button
        this.sharing = !this.#closed;
        this.#put(track);
        this.#tell();
    }

    async unshare() {
        if (!this.sharing) return;
        this.sharing = false;
        await this.#reopen('video');
    }

    mute(kind, muted) {
        this.#muted[kind] = muted;
        this.#tracks(kind).forEach((track) => (track.enabled = !muted));
    }

    /** The id of the device that is in use. */
    device(kind) {
        return this.#tracks(kind)[0]?.getSettings().deviceId;
    }

    close() {
        this.sharing = false;
        this.#closed = true;
        this.stream.getTracks().forEach((track) => track.stop());
    }

    async #reopen(kind) {
        this.#tracks(kind).forEach((track) => track.stop()); // phones open one camera at a time
        const wanted = { ...this.#devices[kind], ...(kind === 'video' ? this.size : {}) };
        const stream = await navigator.mediaDevices.getUserMedia({ [kind]: wanted });
        this.#put(stream.getTracks()[0]);
        this.#tell();
    }

    #tell() {
        if (!this.#closed) this.changed();
    }

    /** Use a track from now on; what people picked after the end is not used, and goes off again. */
    #put(track) {
        if (this.#closed) return track.stop();
        for (const old of this.#tracks(track.kind)) {
            old.stop();
            this.stream.removeTrack(old);
        }
        track.enabled = !this.#muted[track.kind];
        this.stream.addTrack(track);
        this.replaced(track);
    }

    #tracks(kind) {
        return this.stream.getTracks().filter((track) => track.kind === kind);
    }
}

/** Return what the first of these actions brings that finds its device; a refusal by the user is final. */
async function firstOf([action, ...others]) {
    try {
        return await action();
    } catch (error) {
        if (others.length === 0 || error.name === 'NotAllowedError') throw error;
        return firstOf(others);
    }
}
