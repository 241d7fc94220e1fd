// Detached mounts, which have no path: nobody can unmount them under us, and they are gone with their last descriptor,
// also after kill -9.

import { TsfsaError } from "../base/errors.ts";
import { addon } from "./addon.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "./constants.ts";
import { check, systemError } from "./errors.ts";

export interface DetachedMount {
  /** Descriptor of the mount (O_PATH): it keeps the mount alive. */
  readonly fd: number;
  /** A new descriptor of the root directory, for reading; the caller closes it. */
  openRoot(): number;
  /** The file system is unmounted when nothing below is open any more. May be called again. */
  close(): void;
}

export interface MountRequest {
  /** File system type, such as `ext4`. */
  readonly type: string;
  /** Device path. */
  readonly source: string;
  /** `key` or `key=value`; a read-only superblock needs `ro` here. */
  readonly options: readonly string[];
  /** MOUNT_ATTR_* bits. */
  readonly attributes: number;
}

const here: Uint8Array = Buffer.from(".");

function detached(fd: number): DetachedMount {
  let open = true;
  return {
    fd,
    openRoot: () => check(addon().openAt(fd, here, O_RDONLY | O_DIRECTORY, 0, 0), "open of the mount's root"),
    close(): void {
      if (open) addon().close(fd);
      open = false;
    },
  };
}

/** Mounts a device nowhere. Throws IO or NO_PERMISSION with the kernel's own words where it gives any. */
export function mountDetached(request: MountRequest): DetachedMount {
  const fd = addon().mountDetached(request.type, request.source, request.options, request.attributes);
  if (fd >= 0) return detached(fd);
  const error = systemError(-fd, `mount of ${request.source} as ${request.type}`, request.source);
  const said = addon().lastMountMessage();
  throw said === "" ? error : new TsfsaError(error.code, `${error.message}: ${said}`, error.context);
}

/** A detached bind mount of an open directory, without the mounts below it. */
export function cloneTree(dirFd: number): DetachedMount {
  return detached(check(addon().cloneTree(dirFd, new Uint8Array(0)), "open_tree"));
}

/** The same of a path. */
export function cloneTreeAt(path: Uint8Array): DetachedMount {
  return detached(check(addon().cloneTree(AT_FDCWD, path), "open_tree", path));
}
