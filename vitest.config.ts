import { defineConfig } from "vitest/config";

const rooms = ["wire", "config", "kms", "envelope", "audit", "broker", "shim", "cli", "portable", "infra"];

/** Projects by what they need: `unit` and `conformance` run on Node alone, the others on what `npm run test:real` sets up. */
export default defineConfig({
  test: {
    // Vitest would leave one processor free, on two processors half of all; these tests wait more than they work.
    maxWorkers: "100%",
    projects: [
      { test: { name: "unit", include: rooms.map((room) => `test/${room}/**/*.test.ts`) } },
      {
        test: {
          name: "conformance",
          include: ["test/conformance/**/*.test.ts", "test/dev/**/*.test.ts", "test/runtime/**/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "vectors",
          include: ["test/vectors/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "fuzz",
          include: ["test/fuzz/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "emulators",
          include: ["test/emulators/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "kubernetes",
          include: ["test/kubernetes/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
