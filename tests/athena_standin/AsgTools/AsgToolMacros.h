// See AsgTool.h.
#pragma once

#define ASG_TOOL_CLASS(name, interface)
