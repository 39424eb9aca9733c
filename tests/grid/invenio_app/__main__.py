"""Serves the repository until it is ended: what it is to be is in the JSON file that SETTINGS names.

    port, quota, most_files, tokens: {token: {"user": "1", "writes": true}}; the certificate is host.pem and host.key

SQLite, tasks done at once, no search engine: what a search service would be told is told to nobody. Requests that
change something are served one after another, as SQLite has one writer.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from flask import Flask, g, request
from flask_principal import Identity, Need, UserNeed
from invenio_access.permissions import any_user, authenticated_user
from invenio_app.factory import create_api
from invenio_db import db
from invenio_drafts_resources.resources import RecordResource, RecordResourceConfig
from invenio_files_rest.models import Location
from invenio_indexer.api import RecordIndexer
from invenio_records_resources.proxies import current_service_registry
from invenio_records_resources.resources.files import FileResource, FileResourceConfig
from sqlalchemy import event
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple

from tests.grid.invenio_app.models import SETTINGS, Draft, Record
from tests.grid.invenio_app.services import WRITER, make_services, writer

HERE = Path.cwd()
BASE = f"https://localhost:{SETTINGS['port']}"
PAGE = b'<!DOCTYPE html>\n<html><head><meta name="generator" content="InvenioRDM 13.0"/></head><body></body></html>\n'
CONFIG = {
    "SECRET_KEY": "of the tests",
    "SQLALCHEMY_DATABASE_URI": f"sqlite:///{HERE}/records.sqlite",
    "SQLALCHEMY_ENGINE_OPTIONS": {"connect_args": {"timeout": 60}},
    "SITE_UI_URL": BASE,
    "SITE_API_URL": f"{BASE}/api",
    "TRUSTED_HOSTS": ["localhost", "127.0.0.1"],
    "CACHE_TYPE": "SimpleCache",
    "RATELIMIT_ENABLED": False,
    "RATELIMIT_STORAGE_URI": "memory://",
    "CELERY_TASK_ALWAYS_EAGER": True,
    "CELERY_TASK_EAGER_PROPAGATES": True,
    "CELERY_BROKER_URL": "memory://",
    "CELERY_RESULT_BACKEND": "cache",
    "CELERY_CACHE_BACKEND": "memory",
    "ACCOUNTS_SESSION_ACTIVITY_ENABLED": False,
    "REST_CSRF_ENABLED": False,
    "APP_ENABLE_SECURE_HEADERS": False,
    "FILES_REST_STORAGE_CLASS_LIST": {"L": "Local"},
    "FILES_REST_DEFAULT_STORAGE_CLASS": "L",
    "FILES_REST_DEFAULT_MAX_FILE_SIZE": 10 * 2**30,
    "AUDIT_LOGS_ENABLED": False,
}  # fmt: skip


class RecordsResource(RecordResourceConfig):
    blueprint_name = "records"
    url_prefix = "/records"


class RecordFilesResource(FileResourceConfig):
    blueprint_name = "record_files"
    url_prefix = "/records/<pid_value>"


class DraftFilesResource(FileResourceConfig):
    blueprint_name = "draft_files"
    url_prefix = "/records/<pid_value>/draft"


class Front:
    """What stands before the application: pages, and a queue of those who change something."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self.api(environ, start_response)
        with self.turn:
            return self.api(environ, start_response)

    @staticmethod
    def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        known = environ["PATH_INFO"] == "/"
        start_response("200 OK" if known else "404 NOT FOUND", [("Content-Type", "text/html; charset=utf-8")])
        return [PAGE]


def let_in() -> None:
    """Know who asks by the token; one that is not known is nobody's, as in InvenioRDM."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    known = SETTINGS["tokens"].get(token) if kind == "Bearer" else None
    g.identity = Identity(known["user"] if known else None)
    g.identity.provides = {any_user}
    if known:
        g.identity.provides |= {authenticated_user, UserNeed(known["user"]), Need("id", known["user"])}
        if known["writes"]:
            g.identity.provides |= {WRITER, writer(known["user"])}


def tell_nobody() -> None:
    """There is no search engine."""
    for name in ("index", "index_by_id", "delete", "delete_by_id", "create", "bulk_index", "bulk_delete", "refresh"):
        setattr(RecordIndexer, name, lambda self, *_, **__: None)


def make() -> Flask:
    """The application, with tables and a place for files."""
    tell_nobody()
    app = create_api(**CONFIG)
    with app.app_context():
        service = make_services(Draft, Record, SETTINGS["most_files"])
        for one, name in ((service, "records"), (service.files, "record-files"), (service.draft_files, "draft-files")):
            current_service_registry.register(one, service_id=name)
        app.register_blueprint(RecordResource(RecordsResource, service).as_blueprint())
        app.register_blueprint(FileResource(RecordFilesResource, service.files).as_blueprint())
        app.register_blueprint(FileResource(DraftFilesResource, service.draft_files).as_blueprint())
        app.before_request(let_in)
        event.listen(db.engine, "connect", lambda line, _: line.execute("PRAGMA journal_mode=WAL"))
        db.create_all()
        data = HERE / "data"
        data.mkdir(exist_ok=True)
        db.session.add(Location(name="data", uri=str(data), default=True))
        db.session.commit()
    return app


def main() -> None:
    api = make()
    app = DispatcherMiddleware(Front.page, {"/api": Front(api)})
    print("The repository is made", flush=True)
    run_simple(
        "127.0.0.1", SETTINGS["port"], app, threaded=True, ssl_context=(str(HERE / "host.pem"), str(HERE / "host.key"))
    )


if __name__ == "__main__":
    os.environ.setdefault("INVENIO_INSTANCE_PATH", str(HERE))
    main()
