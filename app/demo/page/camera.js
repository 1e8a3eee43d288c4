// The camera behind the stage: started by a tap, stopped whenever it is not looked through.

const WISHES = { audio: false, video: { facingMode: { ideal: "environment" }, width: { ideal: 640 }, height: { ideal: 640 } } };
const REST_MILLISECONDS = 60; // between two frames: a network that is quick need not empty the battery

const REASONS = {
  NotAllowedError: "The camera was refused. Allow it in the browser's settings for this page, or use Photo.",
  NotFoundError: "No camera was found. Use Photo instead.",
  NotReadableError: "Another app is using the camera. Close it and try again, or use Photo.",
};

/** Why the camera cannot be had here at all; empty where it can. */
export function withoutCamera() {
  if (!window.isSecureContext) return "Live video needs an https address. Photo works here.";
  if (!navigator.mediaDevices?.getUserMedia) return "This browser gives no camera to pages. Photo works here.";
  return "";
}

/** Live video in an element of the page. */
export class Camera {
  #video;
  #stream = null;

  constructor(video) {
    this.#video = video;
  }

  get running() {
    return this.#stream !== null;
  }

  /** Asks for the camera and shows it. Fails with a reason in words for people. */
  async start() {
    try {
      this.stop(); // one that was asked for twice would stay on
      this.#stream = await navigator.mediaDevices.getUserMedia(WISHES);
      this.#video.srcObject = this.#stream;
      await this.#video.play();
    } catch (error) {
      this.stop();
      throw new Error(REASONS[error.name] ?? "The camera did not start. Use Photo instead.");
    }
  }

  /** Gives the camera back. */
  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /** Stops the picture, or lets it go on; tells whether it stands still now. */
  toggle() {
    if (this.#video.paused) this.#video.play();
    else this.#video.pause();
    return this.#video.paused;
  }

  /** The video again and again, each time with a new frame, until the camera is stopped. */
  async *frames() {
    while (this.running) {
      if (!this.#video.paused && this.#video.videoWidth > 0) yield this.#video;
      await new Promise((done) => setTimeout(done, REST_MILLISECONDS));
    }
  }
}
