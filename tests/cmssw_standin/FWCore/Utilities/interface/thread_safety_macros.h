#pragma once

#define CMS_THREAD_SAFE
