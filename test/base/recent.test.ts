import { expect, test } from "vitest";
import { RecentlyUsed } from "../../src/base/recent.ts";

test("what was used last is kept", () => {
  const recent = new RecentlyUsed<{ readonly name: string }>(2);
  const one = recent.add(1, { name: "one" });
  recent.add(2, { name: "two" });
  expect(recent.get(1)).toBe(one);
  const three = recent.add(3, { name: "three" });
  expect(recent.get(2)).toBeUndefined();
  expect(recent.get(1)).toBe(one);
  expect(recent.get(3)).toBe(three);
});
