"""Files that are sent to an FTP server."""

from __future__ import annotations

import time

from gridsync_parts.doors import Sent, Stored
from gridsync_parts.doors.ftpnames import FOLDER, Server, refusal
from gridsync_parts.doors.ftpwire import BROKEN, FAREWELL, NO_CHANNEL, Line, Reply, end_data, ending
from gridsync_parts.doors.plain import NO_FOLDER, NO_NAME, NOT_THERE, TAKEN
from gridsync_parts.doors.sending import UnreadError, pieces_of, unread
from gridsync_parts.errors import BadName, Exists, FileError, Forbidden, Full, GridError, NotFound
from gridsync_parts.values import UNFINISHED

PURE = {"PRET", "ESTP"}  # among what it says that it can, pure-ftpd is known by these


class FtpsWriter:
    """A server that takes files."""

    def __init__(self, server: Server):
        self.server = server
        self.lines = server.lines

    def check_name(self, path: str) -> None:
        """BadName for what a server would refuse when a file is to get this name."""
        if "\\" in path:
            self.lines.ask(lambda line: None)  # after which it is known what the server can
            if self.lines.facts and self.lines.facts >= PURE:
                raise BadName(NO_NAME.format(place=self.server.place(path), said="pure-ftpd has no backslash in names"))

    def write_refusal(self, line: Line, path: str, reply: Reply) -> GridError:
        """The sentence for what the server does not take; some say no more than that."""
        error, place = refusal(self.server.place(path), reply), self.server.place(path)
        if isinstance(error, (Full, Forbidden, BadName)) or reply.code in NO_CHANNEL:
            return error
        if self.server.look(line, path):
            return Exists(TAKEN.format(place=place))
        if not self.server.look(line, path.rpartition("/")[0]):
            return NotFound(NO_FOLDER.format(place=place))
        return FileError(str(error), error.passing) if isinstance(error, (NotFound, Exists)) else error

    def folder(self, path: str) -> bool:
        """Make a folder in one that is there; whether it was not there yet. Exists if a file has its name."""

        def verb(line: Line) -> bool:
            reply = line.say(f"MKD {self.server.path(path)}")
            if reply.code // 100 == 2:
                return True
            it = self.server.look(line, path)
            if it and it.is_folder:
                return False
            raise self.write_refusal(line, path, reply)

        return self.lines.ask(verb)

    def write(self, path: str, sent: Sent) -> Stored:
        """Send a new file; Exists if something has its name. When it fails, some of it may be there."""
        try:
            self.lines.ask(lambda line: self.send(line, path, sent))
        except UnreadError as error:
            raise unread(error, self.server.place(path)) from None
        return Stored(UNFINISHED)

    def send(self, line: Line, path: str, sent: Sent) -> None:
        """The same over a line."""
        full, place = self.server.path(path), self.server.place(path)
        size, opened = line.say_all(f"SIZE {full}", line.passive())
        if size.code == 213:
            raise Exists(TAKEN.format(place=place))
        data, reply = line.channel(opened, f"STOR {full}")
        if data is None:
            raise self.write_refusal(line, path, reply)
        with ending(data):
            try:
                for piece in pieces_of(sent):
                    data.sendall(piece)
                    self.lines.moved = time.monotonic()
                end_data(data, line.site.silence)
            except OSError as error:
                reply = self.last_word(line)
                raise refusal(place, reply) if reply.code >= 400 else self.lines.failure(error) from error
            except UnreadError:
                end_data(data, FAREWELL)
                self.last_word(line)
                raise
            reply = line.reply()
        if reply.code // 100 != 2:
            refused = refusal(place, reply)
            raise refused if isinstance(refused, Full) else FileError(str(refused), passing=True)
        assert self.lines.facts
        if sent.mtime and "MFMT" in self.lines.facts:
            line.say(time.strftime(f"MFMT %Y%m%d%H%M%S {full.replace('%', '%%')}", time.gmtime(sent.mtime)))

    def last_word(self, line: Line) -> Reply:
        """What the server says of what was not sent to its end; nothing if it says nothing soon."""
        try:
            line.sock.settimeout(FAREWELL)
            reply = line.reply()
            line.sock.settimeout(line.site.first_byte)
            return reply
        except BROKEN:
            return Reply(0, "")

    def stored(self, path: str) -> Stored:
        """What is there under a name; NotFound if nothing."""

        def verb(line: Line) -> Stored:
            it, place = self.server.look(line, path), self.server.place(path)
            if not it:
                raise NotFound(NOT_THERE.format(place=place))
            if it.is_folder:
                raise FileError(FOLDER.format(place=place))
            return Stored(it.size, "", it.mtime)

        return self.lines.ask(verb)

    def rename(self, path: str, target: str, replace: bool) -> None:
        """Give a file its name; Exists if something has it that is not to be replaced."""

        def verb(line: Line) -> None:
            there, goal = self.server.look(line, target), self.server.path(target)
            if there and (there.is_folder or not replace):
                raise Exists(TAKEN.format(place=self.server.place(target)))
            names = (f"RNFR {self.server.path(path)}", f"RNTO {goal}")
            old, new = line.say_all(*names)
            if old.code == 350 and new.code // 100 != 2 and there:  # it does not replace files by itself
                line.say(f"DELE {goal}")
                old, new = line.say_all(*names)
            if old.code != 350:
                raise self.server.no_file(line, path, old)
            if new.code // 100 != 2:
                raise self.write_refusal(line, target, new)

        self.lines.ask(verb)

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""

        def verb(line: Line) -> bool:
            reply = line.say(f"DELE {self.server.path(path)}")
            if reply.code // 100 == 2:
                return True
            if self.server.look(line, path):
                raise refusal(self.server.place(path), reply)
            return False

        return self.lines.ask(verb)
