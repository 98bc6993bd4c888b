"""The services of the library `apprise` that a destination may use, by the scheme of their URLs.

Each is reached by HTTP requests alone, which the guarded fetch sends (guarded_session.py). Left out are plugins that
act on this machine or speak another protocol (syslog, dbus, mqtt, smpp, irc, xmpp …), and services that have a kind of
their own. A test compares the list with the installed library.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OWN_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "discord": "discord",
        "fcm": "push",
        "form": "webhook",
        "forms": "webhook",
        "gchat": "google_chat",
        "json": "webhook",
        "jsons": "webhook",
        "mailto": "email",
        "mailtos": "email",
        "ntfy": "ntfy",
        "ntfys": "ntfy",
        "pagerduty": "pagerduty",
        "slack": "slack",
        "tgram": "telegram",
        "twilio": "sms",
        "workflow": "teams",
        "workflows": "teams",
        "xml": "webhook",
        "xmls": "webhook",
    }
)
"""The kind that serves a scheme which is left out for it."""

_SERVICES: Final = """
    acs africas_talking=atalk apprise_api=apprise,apprises awswhatsapp bale bark=bark,barks betterstack
    bluesky=bluesky,bsky brevo bulksms bulkvs burstsms=burstsms,kudosity chanify clickatell clicksend
    cliq=cliq,zcliq,zohocliq cm d7networks=d7sms dapnet dingtalk dot eight00com emby=emby,embys
    enigma2=enigma2,enigma2s evolution=evolution,evolutions exotel feishu firehydrant flock
    flowtriq=flowtriq,flowtriqs fluxer=fluxer,fluxers fortysixelks=46elks,elks freemobile github
    goalert=goalert,goalerts gorush=gorush,gorushs gotify=gotify,gotifys groundmail groupme gupshup
    home_assistant=hassio,hassios httpsms humhub=humhub,humhubs ifttt ilert incidentio infobip instagram jira join
    kakaotalk=kakao,kakaotalk kaleyra=kaleyra,klr kavenegar kodi=kodi,kodis,xbmc,xbmcs kook kumulos
    lametric=lametric,lametrics lark lauther lfgalarm=lfg line mailersend mailgun
    mastodon=mastodon,mastodons,toot,toots matrix.base=matrix,matrixs mattermost=mmost,mmosts messagebird=msgbird
    misskey=misskey,misskeys mobilemessage=mobilemessage,mobilemsg msg91 nextcloud=ncloud,nclouds
    nextcloudtalk=nctalk,nctalks notica=notica,noticas notifiarr notifico=notifico,notificos notifyapp notifyre
    octopush office365=azure,o365 one_signal=onesignal onebot=onebot,onebots opsgenie opsimate=opsimate,opsimates
    pagertree parseplatform=parsep,parseps pinglet=pinglet,pinglets pingram plivo postmark prowl pushbullet=pbul
    pushdeer=pushdeer,pushdeers pushed pushjet=pjet,pjets pushme pushover=pover pushplus=pushplus,wecom
    pushsafer=psafer,psafers pushward pushy qq reddit resend revolt ringcentral=ringc rocketchat=rocket,rockets ryver
    sendgrid sendpulse serverchan=schan serwersms ses seven sfr signal_api=signal,signals signalgrid signl4
    simplepush=simplepush,spush sinch smsc smseagle=smseagle,smseagles smsmanager=smsmanager,smsmgr smstunnel smtp2go
    sns sparkpost spike splunk=splunk,victorops spugpush squadcast stackfield streamlabs=strmlabs
    synology=synology,synologys techuluspush=push telesign telnyx threema trigv=trigv,trigvs twist viber voipms
    vonage=nexmo,vonage webexteams=webex,wxteams wechat wecombot whapi whatsapp wpush wxpusher xmatters youlmk zalo
    zoom zulip
"""
"""Modules of the library with their schemes; without schemes, the module's name is the scheme."""


def _modules() -> dict[str, str]:
    modules: dict[str, str] = {}
    for entry in _SERVICES.split():
        module, _, schemes = entry.partition("=")
        modules |= dict.fromkeys((schemes or module).split(","), module)
    return modules


MODULES: Final[Mapping[str, str]] = MappingProxyType(_modules())
"""The plugin's module in `apprise.plugins`, by scheme."""
