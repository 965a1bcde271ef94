// For the type check alone (deploy/page); nobody loads it.
export { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";
