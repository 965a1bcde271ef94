// What the page takes of NiiVue. Meshes, tractography and Zarr come with it or are left out by build.mjs.
export { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";
