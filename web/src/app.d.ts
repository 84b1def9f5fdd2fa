declare global {
  namespace App {
    interface PageState {
      /** The picture that was opened large in this step of the history. */
      large?: string;
    }
  }
}
export {};
