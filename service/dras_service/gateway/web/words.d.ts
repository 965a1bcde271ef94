// For the type check alone: the gateway makes the module of the report's own words.
export const TITLES: Record<string, string>;
export const REGIONS: Record<string, string>;
